// What strategies let go on beside what: tensor-parallel collectives, reductions, gathers of updated
// parameters. Sizes and orders against formulas; negative controls leave waits out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/program/check.h"
#include "tests/core/plan_facts.h"
#include "tests/support/tiny.h"

namespace shardscope {
namespace {

using test::for_each_scheduled;
using test::kTinyHidden;
using test::kTinyLayers;
using test::kTinySeq;
using testing::HasSubstr;

Scenario parallel(int tp, TensorOverlap overlap, bool sequence_parallel = true, int dp = 1) {
    Scenario s = test::tiny_scenario(test::tiny_llama(), tp * dp);
    s.training.micro_batch = s.training.global_batch / dp;
    s.strategies[0].tp = tp;
    s.strategies[0].sequence_parallel = sequence_parallel && tp > 1;
    s.strategies[0].tp_overlap = overlap;
    return s;
}

// Elements of the group's collectives of a kind on a stream in a step, as wholes; transfers as `sent`.
struct Traffic {
    std::int64_t gathered = 0, scattered = 0, reduced = 0, sent = 0;
};
Traffic traffic(const Plan& plan, GroupId group, Stream stream) {
    Traffic t;
    for_each_scheduled(plan.program.roles[0], [&](const Instruction& i) {
        if (i.stream != stream) return;
        if (const auto* x = std::get_if<Exchange>(&i.operation))
            for (const auto& transfer : x->transfers)
                if (transfer.send && transfer.group == group) t.sent += transfer.elements;
        const auto* c = std::get_if<Collective>(&i.operation);
        if (c == nullptr || c->group != group) return;
        if (c->kind == CollectiveKind::all_gather) t.gathered += c->elements;
        if (c->kind == CollectiveKind::reduce_scatter) t.scattered += c->elements;
        if (c->kind == CollectiveKind::all_reduce) t.reduced += c->elements;
    });
    return t;
}

double matmul_flops_of_first(const Plan& plan) {
    double sum = 0;
    for_each_scheduled(plan.program.roles[0], [&](const Instruction& i) {
        if (const auto* c = std::get_if<Compute>(&i.operation))
            sum += cost_of(c->kernel, c->dtype, c->gradient).matmul.value;
    });
    return sum;
}

// Per layer two column-parallel linear layers, and the classifier: their input gradients are summed, and
// with sequence parallelism their inputs gathered, beside the multiplies; so is the embedding's gradient.
TEST(TensorOverlap, GradientsGoBesideMultiplies) {
    for (const int tp : {2, 4}) {
        const Scenario s = parallel(tp, TensorOverlap::gradients, false);
        const Plan plan = test::lower_tiny(s);
        const std::int64_t rows = s.training.micro_batch * kTinySeq;
        EXPECT_EQ(traffic(plan, GroupId(kTensorGroup), Stream::tensor).reduced,
                  (2 * kTinyLayers + 1) * rows * kTinyHidden);
        const Plan divided = test::lower_tiny(parallel(tp, TensorOverlap::gradients));
        const Traffic t = traffic(divided, GroupId(kTensorGroup), Stream::tensor);
        EXPECT_EQ(t.gathered, (2 * kTinyLayers + 2) * rows * kTinyHidden);
        EXPECT_EQ(t.scattered, (2 * kTinyLayers + 1) * rows * kTinyHidden);
    }
}

// Of the forward pass and of row-parallel layers: gathers become transfers of tp − 1 pieces, sums as many
// reduce-scatters as there are pieces. What is sent and multiplied stays the same.
TEST(TensorOverlap, PiecesMoveAndComputeTheSame) {
    for (const int tp : {2, 4}) {
        const Plan none = test::lower_tiny(parallel(tp, TensorOverlap::none));
        const Plan pieces = test::lower_tiny(parallel(tp, TensorOverlap::pieces));
        const GroupId group(kTensorGroup);
        const Traffic before = traffic(none, group, Stream::compute);
        const Traffic here = traffic(pieces, group, Stream::compute);
        const Traffic beside = traffic(pieces, group, Stream::tensor);
        EXPECT_EQ(here.gathered + beside.gathered + beside.sent * tp / (tp - 1), before.gathered);
        EXPECT_GT(beside.sent, 0);
        EXPECT_EQ(here.scattered + beside.scattered, before.scattered);
        EXPECT_LT(here.scattered, before.scattered / 3) << "what is left is the embedding's";
        EXPECT_DOUBLE_EQ(matmul_flops_of_first(pieces), matmul_flops_of_first(none));
    }
}

// PyTorch's async TP: the rank that a sum is for is sent every other rank's part, and adds them and its own. What
// is multiplied and what each rank sends stay the same.
TEST(TensorOverlap, FsdpAddsThePartsThatItIsSent) {
    for (const int tp : {2, 4}) {
        Scenario s = parallel(tp, TensorOverlap::none);
        s.strategies[0].profile = RuntimeProfile::fsdp_compile;
        const Plan none = test::lower_tiny(s);
        s.strategies[0].tp_overlap = TensorOverlap::pieces;
        const Plan pieces = test::lower_tiny(s);
        const GroupId group(kTensorGroup);
        const Traffic before = traffic(none, group, Stream::compute);
        const Traffic here = traffic(pieces, group, Stream::compute);
        const Traffic beside = traffic(pieces, group, Stream::tensor);
        EXPECT_EQ(beside.scattered, 0);
        EXPECT_EQ((before.gathered + before.scattered - here.gathered - here.scattered) * (tp - 1),
                  beside.sent * tp);
        EXPECT_DOUBLE_EQ(matmul_flops_of_first(pieces), matmul_flops_of_first(none));
        const std::int64_t rows = s.training.micro_batch * kTinySeq;
        int sums = 0;
        for_each_scheduled(pieces.program.roles[0], [&](const Instruction& i) {
            const auto* c = std::get_if<Compute>(&i.operation);
            if (c == nullptr || !std::holds_alternative<SumParts>(c->kernel)) return;
            EXPECT_EQ(std::get<SumParts>(c->kernel), (SumParts{rows * kTinyHidden / tp, tp}));
            ++sums;
        });
        EXPECT_EQ(sums, 2 * kTinyLayers) << "attention's and the MLP's, forward";
    }
}

TEST(TensorOverlap, ProgramsHold) {
    for (const TensorOverlap overlap : {TensorOverlap::gradients, TensorOverlap::pieces})
        for (const RuntimeProfile profile :
             {RuntimeProfile::shardscope, RuntimeProfile::megatron, RuntimeProfile::fsdp_compile})
            for (const Schedule schedule : {Schedule::one_f_one_b, Schedule::zero_bubble})
                for (const auto recompute :
                     {Recompute::Kind::none, Recompute::Kind::selective, Recompute::Kind::full})
                    for (const int zero : {0, 1, 3}) {
                        Scenario s = parallel(4, overlap, true, 4);
                        Strategy& strategy = s.strategies[0];
                        strategy.pp = 2;
                        s.training.micro_batch /= 2;
                        strategy.schedule = schedule;
                        strategy.recompute.kind = recompute;
                        strategy.zero = zero;
                        strategy.profile = profile;
                        SCOPED_TRACE(layout_of(strategy, 2));
                        const Plan plan = test::lower_tiny(s);
                        std::vector<MemoryPlan> arenas;
                        for (const RoleProgram& role : plan.program.roles)
                            arenas.push_back(plan_memory(role, Bytes(0)));
                        EXPECT_NO_THROW(check_program(plan.program, arenas));
                    }
}

TEST(TensorOverlap, MultipliesThatDoNotWaitAreFound) {
    for (const TensorOverlap overlap : {TensorOverlap::gradients, TensorOverlap::pieces})
        for (const Stream stream : {Stream::compute, Stream::tensor}) {
            Plan plan = test::lower_tiny(parallel(4, overlap));
            for (Body& body : plan.program.roles[0].bodies)
                std::erase_if(body.instructions, [&](const Instruction& i) {
                    return i.stream == stream && std::holds_alternative<WaitEvent>(i.operation);
                });
            EXPECT_THROW(check_program(plan.program, plan.memory), Error) << name_of(overlap);
        }
}

// Every rank has all parameters in the end, gathered once a step either way.
TEST(OverlapGather, GathersTheSameOnce) {
    for (const int zero : {1, 2}) {
        Scenario s = test::tiny_scenario(test::tiny_llama(), 4);
        s.training.micro_batch = 2;
        s.strategies[0].zero = zero;
        s.strategies[0].bucket = Bytes(1);
        const Plan late = test::lower_tiny(s);
        s.strategies[0].overlap_gather = true;
        const Plan early = test::lower_tiny(s);
        const Traffic t = traffic(early, GroupId(kDataGroup), Stream::gather);
        EXPECT_EQ(t.gathered, traffic(late, GroupId(kDataGroup), Stream::gather).gathered);
        EXPECT_GT(t.gathered, 0);
        EXPECT_EQ(early.memory[0].live_peak, late.memory[0].live_peak);
        for_each_scheduled(early.program.roles[0], [](const Instruction& i) {
            EXPECT_FALSE(i.stream == Stream::gather && i.phase == Phase::optimizer);
        });
        EXPECT_NO_THROW(check_program(early.program, early.memory));
    }
}

TEST(OverlapGather, ALayerThatDoesNotWaitIsFound) {
    Scenario s = test::tiny_scenario(test::tiny_llama(), 2);
    s.strategies[0].zero = 1;
    s.strategies[0].overlap_gather = true;
    Plan plan = test::lower_tiny(s);
    for (Body& body : plan.program.roles[0].bodies)
        if (body.name.starts_with("forward"))
            std::erase_if(body.instructions, [](const Instruction& i) {
                return i.stream == Stream::compute &&
                       std::holds_alternative<WaitEvent>(i.operation);
            });
    EXPECT_THROW(check_program(plan.program, plan.memory), Error);
}

// The last kernel of the last backward body is behind or before the first reduction.
TEST(OverlapReduce, IsAChoice) {
    for (const RuntimeProfile profile : {RuntimeProfile::shardscope, RuntimeProfile::megatron})
        for (const bool overlap : {false, true}) {
            Scenario s = test::tiny_scenario(test::tiny_llama(), 2);
            s.strategies[0].profile = profile;
            s.strategies[0].bucket = Bytes(1);
            s.strategies[0].overlap_reduce = overlap;
            const Plan plan = test::lower_tiny(s);
            std::ptrdiff_t position = 0, last_kernel = 0, first_reduction = -1;
            for_each_scheduled(plan.program.roles[0], [&](const Instruction& i) {
                ++position;
                if (i.phase != Phase::backward) return;
                if (std::holds_alternative<Compute>(i.operation)) last_kernel = position;
                if (i.stream == Stream::reduce && first_reduction < 0) first_reduction = position;
            });
            EXPECT_EQ(first_reduction < last_kernel, overlap) << name_of(profile);
        }
}

TEST(Overlap, Refusals) {
    const auto refusal = [](const Scenario& s) -> std::string {
        try {
            test::lower_tiny(s);
        } catch (const Error& e) {
            EXPECT_EQ(e.exit_code(), 3);
            return e.what();
        }
        return "accepted";
    };
    Scenario s = test::tiny_scenario(test::tiny_llama(), 2);
    s.strategies[0].overlap_gather = true;
    EXPECT_THAT(refusal(s),
                HasSubstr("overlap_gather with zero 0: every rank updates all parameters "
                          "itself; use zero 1 or 2"));
    s.strategies[0].zero = 3;
    EXPECT_THAT(refusal(s), HasSubstr("parameters are gathered layer by layer anyway"));
    EXPECT_THAT(refusal(parallel(1, TensorOverlap::gradients)),
                HasSubstr("tp_overlap gradients with tp 1: there is nothing to overlap"));
    EXPECT_THAT(refusal(parallel(2, TensorOverlap::pieces, false)),
                HasSubstr("tp_overlap pieces without sequence_parallel"));
    s = parallel(4, TensorOverlap::pieces);
    std::get<LlamaSpec>(s.model.kind).seq = 4;
    s.training.global_batch = s.training.micro_batch = 3;
    EXPECT_THAT(refusal(s),
                HasSubstr("12 rows do not divide into 4 pieces with as many rows of each "
                          "of tp 4 ranks; use tp_overlap: gradients"));
}

}  // namespace
}  // namespace shardscope
