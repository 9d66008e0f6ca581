// What runtime profiles change in the Program: every profile's plans are sound, and each rule is seen.
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/lowering/profile_rules.h"
#include "core/program/check.h"
#include "core/program/check_progress.h"
#include "core/program/memory_plan.h"
#include "tests/core/profile_plans.h"

namespace shardscope {
namespace {

using test::bytes_of, test::collective, test::count_instructions, test::half_precision,
    test::linear_in, test::plan_of;

TEST(Profiles, EveryPlanIsSound) {
    for (const RuntimeProfile profile : kRuntimeProfiles)
        for (const ModelSpec& model : test::tiny_models())
            for (const int zero : {0, 1, 2, 3})
                for (const int pp : {1, 2}) {
                    Strategy s;
                    s.zero = zero;
                    s.pp = pp;
                    s.bucket = Bytes(4000);
                    s.profile = profile;
                    s.recompute.kind = Recompute::Kind::full;
                    const Plan plan = plan_of(model, 4, s);
                    SCOPED_TRACE(std::string(name_of(profile)) + " " +
                                 layout_of(s, plan.layout.dp));
                    EXPECT_NO_THROW(test::check_plan(plan));
                }
}

// Megatron of 2021: no sums beside multiplies, gradients added by a kernel, no placeholders.
TEST(Profiles, MegatronOf2021) {
    Strategy s;
    s.tp = 2;
    set_profile(s, RuntimeProfile::megatron_2021);
    EXPECT_EQ(tensor_overlap(s), TensorOverlap::none);
    const ProfileRules then = rules_of(s, DType::fp16, DType::fp16);
    EXPECT_FALSE(then.placeholder_gradients);
    EXPECT_EQ(then.loss_copies, 2);
    s.pp = 2;
    s.virtual_stages = 2;
    EXPECT_TRUE(rules_of(s, DType::fp16, DType::fp16).blocking_transfers);
    set_profile(s, RuntimeProfile::megatron);
    EXPECT_EQ(tensor_overlap(s), TensorOverlap::gradients);
    EXPECT_FALSE(rules_of(s, DType::fp16, DType::fp16).blocking_transfers);
}

TEST(Profiles, ProductsRecomputeWholeBlocks) {
    Strategy s;
    s.recompute.kind = Recompute::Kind::full;
    const auto shapes = [&](RuntimeProfile profile) {
        s.profile = profile;
        const Plan plan = plan_of(test::tiny_models().back(), 1, s);
        return std::pair(count_instructions(plan.program.roles[0], linear_in(Phase::forward)),
                         count_instructions(plan.program.roles[0], linear_in(Phase::recompute)));
    };
    const auto ours = shapes(RuntimeProfile::shardscope);
    const auto theirs = shapes(RuntimeProfile::megatron);
    EXPECT_EQ(ours.first, theirs.first);
    EXPECT_LT(ours.second, theirs.second);
    // All linear layers of the blocks, but not the classifier's, once per micro-batch.
    EXPECT_LT(theirs.second, theirs.first);
}

// PyTorch's checkpoints without reentrance stop once the last tensor is there that the backward pass saved:
// nobody saved what the block's last linear layer writes.
TEST(Profiles, FsdpRecomputesWhatWasSaved) {
    const auto recomputed = [](RuntimeProfile profile) {
        Strategy s;
        s.recompute.kind = Recompute::Kind::full;
        s.profile = profile;
        const Plan plan = plan_of(test::tiny_gpt(), 1, s);
        return count_instructions(plan.program.roles[0], linear_in(Phase::recompute));
    };
    const std::int64_t micro_batches = 12, layers = 3;
    EXPECT_EQ(recomputed(RuntimeProfile::fsdp), micro_batches * layers * (4 - 1));
    EXPECT_EQ(recomputed(RuntimeProfile::fsdp_compile), micro_batches * layers * (4 - 1));
    EXPECT_EQ(recomputed(RuntimeProfile::deepspeed), micro_batches * layers * 4);
}

// What is outside blocks is gathered once for both passes, before the first block, and its gradients are reduced
// behind the last one's.
TEST(Profiles, FsdpKeepsItsRoot) {
    const auto order = [](RuntimeProfile profile, Stream stream) {
        Scenario scenario = half_precision(profile, 2);
        scenario.strategies[0].zero = 3;
        const Plan plan = test::lower_tiny(scenario);
        const RoleProgram& role = plan.program.roles[0];
        std::string
            names;  // of the first micro-batch's collectives: e(mbedding), b(lock), h(ead); | between bodies
        for (std::size_t t = 0; t < 2; ++t) {
            for (const Instruction& i : role.bodies[role.schedule[t].body.index()].instructions)
                if (const auto* c = std::get_if<Collective>(&i.operation);
                    c != nullptr && i.stream == stream) {
                    const bool gathers = c->kind == CollectiveKind::all_gather;
                    const Operand& operand = gathers ? c->recv : c->send;
                    const std::string& name = role.buffers[operand.buffer.index()].name;
                    names += name.find("blocks") != std::string::npos ? 'b'
                             : name.find("head") != std::string::npos ? 'h'
                                                                      : 'e';
                }
            names += '|';
        }
        return names;
    };
    EXPECT_EQ(order(RuntimeProfile::fsdp, Stream::gather), "ehbbb|bbb|");
    EXPECT_EQ(order(RuntimeProfile::shardscope, Stream::gather), "ebbbh|bbb|");
    EXPECT_EQ(order(RuntimeProfile::fsdp, Stream::reduce), "|bbbhe|");
    EXPECT_EQ(order(RuntimeProfile::shardscope, Stream::reduce), "|hbbbe|");

    // The gathered classifier is there until the last gradient is.
    Scenario scenario = half_precision(RuntimeProfile::fsdp, 2);
    scenario.strategies[0].zero = 3;
    const Plan plan = test::lower_tiny(scenario);
    const RoleProgram& role = plan.program.roles[0];
    const std::vector<Lifetime> lives = lifetimes(role);
    const auto index = [&](std::string_view name) {
        const auto found = std::ranges::find(role.buffers, name, &Buffer::name);
        EXPECT_NE(found, role.buffers.end()) << name;
        return static_cast<std::size_t>(found - role.buffers.begin());
    };
    const Lifetime& kept = lives[index("gathered head")];
    const Lifetime& last = lives[index("gradient bucket embedding")];
    ASSERT_FALSE(kept.intervals.empty());
    ASSERT_FALSE(last.intervals.empty());
    EXPECT_GE(kept.intervals.back().last, last.intervals.back().last);
}

// A gather's output is copied out into the parameters. In the forward pass it is there until the next one is; the
// last one's until the backward pass ends.
TEST(Profiles, FsdpCopiesGatheredParametersOut) {
    Scenario scenario = half_precision(RuntimeProfile::fsdp, 2);
    scenario.strategies[0].zero = 3;
    const Plan plan = test::lower_tiny(scenario);
    const RoleProgram& role = plan.program.roles[0];
    const std::vector<Lifetime> lives = lifetimes(role);
    const auto last_use = [&](std::string_view name) {
        const auto found = std::ranges::find(role.buffers, name, &Buffer::name);
        EXPECT_NE(found, role.buffers.end()) << name;
        const auto& intervals =
            lives[static_cast<std::size_t>(found - role.buffers.begin())].intervals;
        return std::pair(intervals.front().last, intervals.back().last);
    };
    for (const char* block : {"blocks.0", "blocks.1"}) {
        const std::string name = std::string(block) + " for " + block + " (forward)";
        EXPECT_GE(last_use("all-gather output " + name).first, last_use("gathered " + name).first);
    }
    EXPECT_GE(last_use("all-gather output blocks.2 for blocks.2 (forward)").second,
              last_use("gradient bucket embedding").second);
    EXPECT_LT(last_use("all-gather output blocks.2 for blocks.2 (backward)").first,
              last_use("gathered blocks.2 for blocks.2 (backward)").first);
    scenario.strategies[0].profile = RuntimeProfile::shardscope;
    EXPECT_EQ(bytes_of(test::lower_tiny(scenario), "all-gather output"), Bytes(0));
}

// What PyTorch's pipeline stages and FSDP in them keep, by the numbers.
TEST(Profiles, FsdpPipelinesKeepWhatTheyReceiveAndPutOut) {
    Scenario scenario = half_precision(RuntimeProfile::fsdp, 4);
    Strategy& s = scenario.strategies[0];
    s.pp = 2;
    s.zero = 3;
    const Plan plan = test::lower_tiny(scenario);
    const std::int64_t m = plan.layout.micro_batches,
                       rows =
                           plan.layout.micro_batch * std::get<LlamaSpec>(scenario.model.kind).seq;
    const auto& llama = std::get<LlamaSpec>(scenario.model.kind);
    const std::int64_t others = (m - 1) * rows * 2;  // of bf16
    EXPECT_GT(m, 1);
    EXPECT_EQ(bytes_of(plan, "gradients received by other", 0).value, others * llama.hidden);
    EXPECT_EQ(bytes_of(plan, "activations received by other", 1).value, others * llama.hidden);
    EXPECT_EQ(bytes_of(plan, "activations received by other", 0), Bytes(0));
    EXPECT_EQ(bytes_of(plan, "outputs of other micro-batches", 1).value, others * llama.vocab);
    for (const std::size_t role : {0, 1}) {
        std::int64_t largest = 0, parts = 0, whole = 0;
        for (const Unit& unit : plan.units[role]) {
            largest = std::max(largest, unit.padded);
            parts += unit.shard;
            whole += unit.padded;
        }
        EXPECT_EQ(bytes_of(plan, "all-gather outputs", role).value, 2 * 2 * largest);
        EXPECT_EQ(bytes_of(plan, "sharded gradients", role).value, 4 * parts);
        EXPECT_EQ(bytes_of(plan, "written gradients ", role).value, 2 * whole);
    }
    s.profile = RuntimeProfile::megatron;
    s.zero = 1;
    const Plan megatron = test::lower_tiny(scenario);
    for (const char* what : {"gradients received by", "outputs of other", "all-gather outputs",
                             "sharded gradients", "written gradients "})
        for (const std::size_t role : {0, 1})
            EXPECT_EQ(bytes_of(megatron, what, role), Bytes(0)) << what;
}

Scenario eight_bits(RuntimeProfile profile) {
    Scenario scenario = half_precision(profile, 2);
    scenario.training.math = MathType::fp8;
    Strategy& s = scenario.strategies[0];
    s.tp = 2;
    s.sequence_parallel = true;
    s.tp_overlap = TensorOverlap::none;
    return scenario;
}

// What a block's multiplies in 8 bits read of other ranks' rows comes in 8 bits, with the scales; the
// classifier's rows, which multiply in 16, do not.
TEST(Profiles, FsdpGathersEightBitsForThem) {
    const auto gathers = [](const Scenario& scenario) {
        std::map<DType, std::int64_t> found;
        const Plan plan = test::lower_tiny(scenario);
        count_instructions(plan.program.roles[0], [&](const Instruction& i) {
            const auto* c = std::get_if<Collective>(&i.operation);
            if (c != nullptr && c->kind == CollectiveKind::all_gather && i.layer == 1)
                found[c->dtype] += c->elements;
            return false;
        });
        return found;
    };
    const auto narrow = gathers(eight_bits(RuntimeProfile::fsdp_compile));
    const auto ours = gathers(eight_bits(RuntimeProfile::shardscope));
    Scenario wide = eight_bits(RuntimeProfile::fsdp_compile);
    wide.training.math = std::nullopt;
    const auto plain = gathers(wide);
    Scenario rows = eight_bits(RuntimeProfile::fsdp_compile);
    rows.training.math = MathType::fp8_rowwise;
    ASSERT_TRUE(narrow.contains(DType::int8));
    EXPECT_FALSE(narrow.contains(DType::bf16));
    EXPECT_EQ(narrow.at(DType::int8), plain.at(DType::bf16)) << "as many elements";
    EXPECT_FALSE(ours.contains(DType::int8));
    EXPECT_EQ(gathers(rows), plain) << "a scale per row does not go with a shard of it";
}

// Those multiplies cast nothing again, and one cast serves the projections of one input.
TEST(Profiles, CompiledFsdpSharesCasts) {
    const auto casts = [](Scenario scenario) {
        std::map<std::size_t, std::vector<int>>
            bits;  // by kind of kernel, of the second layer, in order
        const Plan plan = test::lower_tiny(scenario);
        const RoleProgram& role = plan.program.roles[0];
        for (std::size_t t = 0; t < 2; ++t)
            for (const Instruction& i : role.bodies[role.schedule[t].body.index()].instructions)
                if (const auto* c = std::get_if<Compute>(&i.operation);
                    c != nullptr && i.layer == 1 && c->math)
                    bits[c->kernel.index()].push_back(c->cast);
        return bits;
    };
    Scenario alone = eight_bits(RuntimeProfile::fsdp_compile);
    alone.strategies[0].tp = 1;
    alone.strategies[0].sequence_parallel = false;
    const std::size_t linear = Kernel(Linear{}).index(), input = Kernel(LinearInputGrad{}).index(),
                      weight = Kernel(LinearWeightGrad{}).index();
    // Query, key, value, projection, gate, up, down.
    EXPECT_EQ(casts(alone)[linear], (std::vector{0, 1, 1, 0, 0, 1, 0}));
    alone.strategies[0].profile = RuntimeProfile::fsdp;
    EXPECT_EQ(casts(alone)[linear], (std::vector{0, 0, 0, 0, 0, 0, 0})) << "eager";
    auto group = casts(eight_bits(RuntimeProfile::fsdp_compile));
    EXPECT_EQ(group[linear], (std::vector{1, 1, 1, 0, 1, 1, 0}));
    // Backward: down, gate, up, projection, query, key, value; the gradients of outputs are gathered.
    EXPECT_EQ(group[input], (std::vector{1, 0, 0, 1, 0, 0, 0}));
    EXPECT_EQ(group[weight], (std::vector{2, 1, 1, 2, 1, 1, 1}));
}

// A copy behind every gather of rows and before every scatter, but for the compiled sums of parts.
TEST(Profiles, FsdpOrdersGatheredRows) {
    const auto copies = [](RuntimeProfile profile, TensorOverlap overlap) {
        Scenario scenario = half_precision(profile, 2);
        Strategy& s = scenario.strategies[0];
        s.tp = 2;
        s.sequence_parallel = true;
        s.tp_overlap = overlap;
        const Plan plan = test::lower_tiny(scenario);
        std::int64_t blocks = 0;
        for (const Layer& layer : plan.model->layers)
            blocks += std::holds_alternative<BlockLayer>(layer.kind) ? 1 : 0;
        const std::int64_t n = count_instructions(plan.program.roles[0], [&](const Instruction& i) {
            const auto* c = std::get_if<Compute>(&i.operation);
            const bool block =
                i.layer >= 0 && std::holds_alternative<BlockLayer>(
                                    plan.model->layers[static_cast<std::size_t>(i.layer)].kind);
            return c != nullptr && block && std::holds_alternative<Copy>(c->kernel);
        });
        return n / (blocks * plan.layout.micro_batches);
    };
    // Forward two gathers and two scatters; backward two gathers, and two scatters of sums.
    EXPECT_EQ(copies(RuntimeProfile::fsdp, TensorOverlap::none), 8);
    EXPECT_EQ(copies(RuntimeProfile::fsdp_compile, TensorOverlap::none), 6);
    EXPECT_EQ(copies(RuntimeProfile::megatron, TensorOverlap::none), 0);
    // The rank's own part of what goes round in pieces, four times.
    EXPECT_EQ(copies(RuntimeProfile::fsdp_compile, TensorOverlap::pieces), 4);
}

// Pipelines whose transfers are waited for have the host wait where a stage takes what it has received.
TEST(Profiles, BlockingTransfersHoldTheHost) {
    for (const RuntimeProfile profile : kRuntimeProfiles) {
        Strategy s;
        s.pp = 2;
        set_profile(s, profile);
        const Plan plan = plan_of(test::tiny_gpt(), 2, s);
        const auto held = count_instructions(plan.program.roles[1], [](const Instruction& i) {
            const auto* w = std::get_if<WaitEvent>(&i.operation);
            return w != nullptr && w->host;
        });
        const bool waits = profile != RuntimeProfile::shardscope && !is_fsdp(profile);
        EXPECT_EQ(held, waits ? plan.layout.micro_batches : 0) << name_of(profile);
    }
}

// However many chunks a stage has, each of its gradients is reduced once.
TEST(Profiles, ChunksReduceTheirOwnGradients) {
    for (const RuntimeProfile profile : {RuntimeProfile::shardscope, RuntimeProfile::megatron})
        for (const int chunks : {1, 2}) {
            Strategy s;
            s.pp = 2;
            s.virtual_stages = chunks;
            s.zero = 1;
            s.profile = profile;
            const Plan plan = plan_of(test::deep_gpt(), 4, s);
            std::int64_t reduced = 0, held = 0;
            for (const Unit& unit : plan.units[0]) held += unit.padded;
            count_instructions(plan.program.roles[0], [&](const Instruction& i) {
                const auto* c = std::get_if<Collective>(&i.operation);
                if (c != nullptr && i.stream == Stream::reduce && i.phase == Phase::backward)
                    reduced += c->elements;
                return false;
            });
            EXPECT_EQ(reduced, held) << name_of(profile) << " " << chunks;
        }
}

// Without sequence parallelism all ranks of a tensor-parallel group have the same rows: products send each a
// part, and gather the parts behind the transfer.
TEST(Profiles, ProductsDivideTransfers) {
    for (const RuntimeProfile profile : kRuntimeProfiles) {
        Strategy s;
        s.tp = 2;
        s.pp = 2;
        s.profile = profile;
        const Plan plan = plan_of(test::tiny_gpt(), 4, s);
        std::int64_t sent = 0, gathered = 0;
        for (const RoleProgram& role : plan.program.roles)
            count_instructions(role, [&](const Instruction& i) {
                const auto* x = std::get_if<Exchange>(&i.operation);
                if (x != nullptr && i.phase != Phase::optimizer)
                    for (const auto& t : x->transfers) sent += t.send ? t.elements : 0;
                const auto* c = std::get_if<Collective>(&i.operation);
                if (c != nullptr && c->kind == CollectiveKind::all_gather) gathered += c->elements;
                return false;
            });
        const bool divides = is_megatron(profile) || is_deepspeed(profile) ||
                             profile == RuntimeProfile::megatron_deepspeed;
        const std::int64_t rows = 24 * 16, hidden = 24;  // forward and backward
        EXPECT_EQ(sent, 2 * rows * hidden / (divides ? 2 : 1)) << name_of(profile);
        EXPECT_EQ(gathered, divides ? 2 * rows * hidden : 0) << name_of(profile);
    }
}

// Llama's queries, keys, values, gate and up are five multiplies forward and ten backward where a product
// has five linear layers; GPT's are two and four everywhere. The FLOPs are the same.
TEST(Profiles, GatedModelsMultiplyForEachProjection) {
    const auto multiplies = [](RuntimeProfile profile, const ModelSpec& model) {
        Strategy s;
        s.profile = profile;
        const Plan plan = plan_of(model, 1, s);
        double flops = 0;
        const std::int64_t n = count_instructions(plan.program.roles[0], [&](const Instruction& i) {
            const auto* c = std::get_if<Compute>(&i.operation);
            if (c == nullptr) return false;
            flops += cost_of(c->kernel, c->dtype, c->gradient).matmul.value;
            return std::holds_alternative<Linear>(c->kernel) ||
                   std::holds_alternative<LinearInputGrad>(c->kernel) ||
                   std::holds_alternative<LinearWeightGrad>(c->kernel);
        });
        return std::pair(n, flops);
    };
    const std::int64_t micro_batches = 12, layers = 3;
    const auto ours = multiplies(RuntimeProfile::shardscope, test::tiny_llama());
    const auto theirs = multiplies(RuntimeProfile::fsdp, test::tiny_llama());
    EXPECT_EQ(theirs.first - ours.first, micro_batches * layers * 3 * (5 - 2));
    EXPECT_DOUBLE_EQ(theirs.second, ours.second);
    EXPECT_EQ(multiplies(RuntimeProfile::fsdp, test::tiny_gpt()).first,
              multiplies(RuntimeProfile::shardscope, test::tiny_gpt()).first);
}

// PyTorch's tensor parallelism gathers a layer's rows once, Megatron's again for the weight gradient.
TEST(Profiles, FsdpKeepsGatheredRows) {
    const auto gathered = [](RuntimeProfile profile) {
        Strategy s;
        s.tp = 2;
        s.sequence_parallel = true;
        s.profile = profile;
        s.tp_overlap = TensorOverlap::none;
        return count_instructions(plan_of(test::tiny_llama(), 2, s).program.roles[0],
                                  collective(CollectiveKind::all_gather, Stream::compute));
    };
    // Per block two inputs and two gradients of outputs; the classifier's input; the embedding's gradient.
    const std::int64_t micro_batches = 12, layers = 3;
    EXPECT_EQ(gathered(RuntimeProfile::fsdp), micro_batches * (4 * layers + 2));
    EXPECT_EQ(gathered(RuntimeProfile::megatron), micro_batches * (6 * layers + 3));
}

// Reductions that do not overlap come behind the last kernel of the backward pass.
TEST(Profiles, MegatronReducesAfterTheBackwardPass) {
    for (const RuntimeProfile profile : {RuntimeProfile::shardscope, RuntimeProfile::megatron}) {
        Strategy s;
        s.bucket = Bytes(1);
        s.profile = profile;
        const Plan plan = plan_of(test::tiny_models().back(), 2, s);
        const RoleProgram& role = plan.program.roles[0];
        const auto reduces = [](const Instruction& i) { return i.stream == Stream::reduce; };
        const auto body = std::ranges::find_if(role.bodies, [&](const Body& b) {
            return b.name.starts_with("backward") && std::ranges::any_of(b.instructions, reduces);
        });
        ASSERT_NE(body, role.bodies.end());
        std::ptrdiff_t last_kernel = 0, first_reduction = -1;
        for (std::ptrdiff_t i = 0; i < std::ssize(body->instructions); ++i) {
            const Instruction& instruction = body->instructions[static_cast<std::size_t>(i)];
            if (std::holds_alternative<Compute>(instruction.operation)) last_kernel = i;
            if (first_reduction < 0 && instruction.stream == Stream::reduce) first_reduction = i;
        }
        EXPECT_EQ(first_reduction > last_kernel, profile == RuntimeProfile::megatron)
            << name_of(profile);
    }
}

// DeepSpeed's ZeRO 2 has no place for all gradients: each bucket is reduced when it is full, and what comes behind
// waits. So few are there at once; below stage 2 all are.
TEST(Profiles, DeepSpeedReducesBucketByBucket) {
    const auto planned = [](RuntimeProfile profile, int zero) {
        Scenario scenario = half_precision(profile, 4);
        scenario.model = test::deep_llama();
        Strategy& s = scenario.strategies[0];
        s.zero = zero;
        s.bucket = Bytes(1);
        return test::lower_tiny(scenario);
    };
    const Plan plan = planned(RuntimeProfile::deepspeed, 2);
    const RoleProgram& role = plan.program.roles[0];
    const auto backward = std::ranges::find_if(
        role.bodies, [](const Body& b) { return b.name.starts_with("backward"); });
    ASSERT_NE(backward, role.bodies.end());
    const auto reduces = [](const Instruction& i) {
        return i.stream == Stream::reduce && std::holds_alternative<Collective>(i.operation);
    };
    EXPECT_GT(std::ranges::count_if(backward->instructions, reduces), 2);
    for (auto i = backward->instructions.begin(); i != backward->instructions.end(); ++i) {
        if (!reduces(*i)) continue;
        const auto next = std::find_if(i, backward->instructions.end(), [](const Instruction& n) {
            return n.stream == Stream::compute;
        });
        ASSERT_NE(next, backward->instructions.end());
        EXPECT_TRUE(std::holds_alternative<WaitEvent>(next->operation));
    }
    const Bytes gradients = bytes_of(plan, "gradient bucket ");
    const auto peak = [&](RuntimeProfile profile, int zero) {
        return planned(profile, zero).memory[0].live_peak;
    };
    EXPECT_LT(peak(RuntimeProfile::deepspeed, 2) + Bytes(gradients.value / 2),
              peak(RuntimeProfile::deepspeed, 1));
}

// reduce_bucket_size is allocated outright, 1 GB by default, however small the model.
TEST(Profiles, DeepSpeedAllocatesItsBuckets) {
    for (const int zero : {0, 1, 2, 3}) {
        const auto peak = [&](RuntimeProfile profile) {
            Scenario scenario = half_precision(profile, 4);
            scenario.strategies[0].zero = zero;
            return test::lower_tiny(scenario).memory[0].live_peak.value;
        };
        EXPECT_EQ(peak(RuntimeProfile::deepspeed) > 1'000'000'000, zero >= 1) << zero;
        EXPECT_LT(peak(RuntimeProfile::deepspeed), 1'100'000'000) << zero;
        EXPECT_LT(peak(RuntimeProfile::megatron_deepspeed), 100'000'000) << zero;
    }
    Scenario alone = half_precision(RuntimeProfile::deepspeed, 1);  // nothing is reduced
    alone.strategies[0].zero = 2;
    EXPECT_LT(test::lower_tiny(alone).memory[0].live_peak, Bytes(100'000'000));
}

// --overlap-grad-reduce: max(40 million, one million per data-parallel rank) of the first stage, else all.
TEST(Profiles, MegatronsBucketsWhereReductionsOverlap) {
    Strategy s;
    set_profile(s, RuntimeProfile::megatron);
    const auto bucket = [&](int dp, int stage) {
        Layout layout;
        layout.dp = dp;
        return bucket_of(s, rules_of(s, DType::bf16, DType::fp32), layout, stage, DType::fp32);
    };
    const Bytes all = default_bucket(RuntimeProfile::megatron);
    EXPECT_EQ(bucket(8, 0), all);
    s.overlap_reduce = true;
    EXPECT_EQ(bucket(8, 0), Bytes(160'000'000));
    EXPECT_EQ(bucket(64, 0), Bytes(256'000'000));
    EXPECT_EQ(bucket(8, 1), all);
    s.bucket = Bytes(100);
    EXPECT_EQ(bucket(8, 0), Bytes(100)) << "as stated";
}

// What DeepSpeed's optimizers hold beside parameters, gradients and states (stage_1_and_2.py,
// bf16_optimizer.py): with 16-bit gradients a flat copy of the rank's share and its fp32 copy while it
// steps; with fp32 gradients autograd's own in 16 bits, all the time.
TEST(Profiles, DeepSpeedKeepsMoreGradients) {
    Scenario scenario = half_precision(RuntimeProfile::megatron_deepspeed, 2);
    Strategy& s = scenario.strategies[0];
    s.zero = 1;
    const Plan fp32 = test::lower_tiny(scenario);  // BF16_Optimizer's default
    const Bytes parameters = bytes_of(fp32, "parameters ");
    EXPECT_EQ(bytes_of(fp32, "gradients ").value, 2 * parameters.value);
    EXPECT_EQ(bytes_of(fp32, "narrow gradients "), parameters);
    EXPECT_EQ(bytes_of(fp32, "wide gradients "), Bytes(0));
    scenario.training.gradient_dtype = DType::bf16;
    const Plan bf16 = test::lower_tiny(scenario);
    EXPECT_EQ(bytes_of(bf16, "narrow gradients "), Bytes(0));
    EXPECT_EQ(2 * bytes_of(bf16, "flat gradients ").value, parameters.value) << "of two ranks";
    EXPECT_EQ(bytes_of(bf16, "wide gradients "), parameters);
    EXPECT_GT(bytes_of(bf16, "copied "), Bytes(0)) << "what is reduced is a copy";
    set_profile(s, RuntimeProfile::shardscope);
    const Plan ours = test::lower_tiny(scenario);
    for (const char* what : {"narrow gradients ", "flat gradients ", "wide gradients ", "copied "})
        EXPECT_EQ(bytes_of(ours, what), Bytes(0)) << what;
}

// FSDP keeps 16 bytes of a parameter's: fp32 parameters, gradients and two moments. What is gathered is a
// 16-bit copy of a layer's shard.
TEST(Profiles, FsdpShardsAreTheMasterWeights) {
    Scenario scenario = half_precision(RuntimeProfile::fsdp, 2);
    scenario.strategies[0].zero = 3;
    const Plan plan = test::lower_tiny(scenario);
    EXPECT_EQ(bytes_of(plan, "master "), Bytes(0));
    for (const char* what : {"gradients ", "state1 ", "state2 "})
        EXPECT_EQ(bytes_of(plan, what), bytes_of(plan, "parameters ")) << what;
    EXPECT_GT(bytes_of(plan, "cast "), Bytes(0));
    scenario.strategies[0].profile = RuntimeProfile::shardscope;
    const Plan ours = test::lower_tiny(scenario);
    EXPECT_EQ(2 * bytes_of(ours, "parameters ").value, bytes_of(plan, "parameters ").value);
    EXPECT_EQ(bytes_of(ours, "master "), bytes_of(plan, "parameters "));
    EXPECT_EQ(bytes_of(ours, "cast "), Bytes(0));
}

// With a pipeline FSDP gathers a stage once: whole parameters and gradients, sharded states.
TEST(Profiles, FsdpWithAPipelineIsZero1) {
    Scenario scenario = half_precision(RuntimeProfile::fsdp, 4);
    scenario.strategies[0].pp = 2;
    scenario.strategies[0].zero = 3;
    const Plan stage3 = test::lower_tiny(scenario);
    EXPECT_EQ(stage3.strategy.zero, 1);
    scenario.strategies[0].zero = 1;
    const Plan stage1 = test::lower_tiny(scenario);
    ASSERT_EQ(stage3.memory.size(), stage1.memory.size());
    for (std::size_t role = 0; role < stage1.memory.size(); ++role)
        EXPECT_EQ(stage3.memory[role].live_peak, stage1.memory[role].live_peak);
    scenario.strategies[0].zero = 3;
    scenario.strategies[0].profile = RuntimeProfile::shardscope;
    EXPECT_EQ(test::lower_tiny(scenario).strategy.zero, 3) << "ours gathers for every micro-batch";
}

// One placeholder per shape of a block's weights, whatever the number of blocks.
TEST(Profiles, MegatronKeepsPlaceholdersOfGradients) {
    const Plan plan = test::lower_tiny(half_precision(RuntimeProfile::megatron, 1));
    std::set<std::pair<std::int64_t, std::int64_t>> shapes;
    for (const Layer& layer : plan.model->layers)
        if (const auto* b = std::get_if<BlockLayer>(&layer.kind))
            for (const LinearParameters* l : {&b->qkv, &b->projection, &b->up, &b->down})
                shapes.emplace(l->in, l->out);
    std::int64_t expected = 0;
    for (const auto& [in, out] : shapes) expected += 2 * in * out;
    EXPECT_GT(expected, 0);
    EXPECT_EQ(bytes_of(plan, "placeholder gradients ").value, expected);
    const auto classifiers = std::ranges::find_if(
        plan.program.roles[0].buffers,
        [](const Buffer& b) { return b.name.ends_with("placeholder gradient"); });
    ASSERT_NE(classifiers, plan.program.roles[0].buffers.end());
    const auto& head = std::get<HeadLayer>(plan.model->layers.back().kind).classifier;
    EXPECT_EQ(classifiers->size().value, 2 * head.in * head.out);
    const Plan deepspeed = test::lower_tiny(half_precision(RuntimeProfile::deepspeed, 1));
    EXPECT_EQ(bytes_of(deepspeed, "placeholder"), Bytes(0));
}

// Each fp32 copy of the logits that a loss holds at once adds its whole size to what is allocated.
TEST(Profiles, CopiesOfTheLogitsLiveTogether) {
    const auto allocated = [](RuntimeProfile profile) {
        Scenario scenario = half_precision(profile, 1);
        std::get<LlamaSpec>(scenario.model.kind).vocab = 4096;  // so that the loss is the peak
        const Plan plan = test::lower_tiny(scenario);
        return plan.memory[0].live_peak.value;
    };
    Scenario scenario = half_precision(RuntimeProfile::fsdp, 1);
    const std::int64_t rows = test::lower_tiny(scenario).layout.micro_batch *
                              std::get<LlamaSpec>(scenario.model.kind).seq;
    // Eager PyTorch's three; one where the loss is compiled. 512 bytes of rounding for each, and what
    // else is live at the two peaks.
    EXPECT_NEAR(static_cast<double>(allocated(RuntimeProfile::fsdp) -
                                    allocated(RuntimeProfile::fsdp_compile)),
                2.0 * 4 * static_cast<double>(rows) * 4096, 0.2 * static_cast<double>(rows) * 4096);
}

TEST(Profiles, BucketsGoWithTheProfileUnlessTheyWereChosen) {
    Strategy s;
    set_profile(s, RuntimeProfile::deepspeed);
    EXPECT_EQ(bucket_size(s).value, 1'000'000'000);
    set_profile(s, RuntimeProfile::shardscope);
    EXPECT_EQ(bucket_size(s).value, 25 << 20);
    // What is chosen stays, though it be what some profile has anyway.
    s.bucket = Bytes(25 << 20);
    set_profile(s, RuntimeProfile::megatron);
    EXPECT_EQ(bucket_size(s).value, 25 << 20);
}

// Reserved ≥ allocated ≥ what is live, and close to each other where buffers are large.
TEST(Profiles, MemoryIsAllocatedAndReserved) {
    for (const int zero : {0, 1, 2, 3})
        for (const int pp : {1, 2}) {
            Strategy s;
            s.zero = zero;
            s.pp = pp;
            s.profile = RuntimeProfile::fsdp;
            const Plan plan = plan_of(test::tiny_models().back(), 4, s);
            for (std::size_t role = 0; role < plan.memory.size(); ++role) {
                const MemoryPlan& memory = plan.memory[role];
                const MemoryPlan arena = plan_memory(plan.program.roles[role], Bytes(0));
                EXPECT_TRUE(memory.caching);
                EXPECT_GE(memory.arena, memory.live_peak);
                // The planner counts frames of other micro-batches as a whole, the allocator does not.
                EXPECT_GE(memory.live_peak.value, 0.8 * static_cast<double>(arena.live_peak.value));
                Bytes sum;
                for (const Bytes bytes : memory.categories) sum += bytes;
                EXPECT_EQ(sum, memory.peak());
            }
        }
}

// Where schedules put weight gradients off, most is live when the last micro-batches are computed: of those in flight
// then none may be left out.
TEST(Profiles, ManyMicroBatchesTakeNoLessThanFew) {
    for (const Schedule schedule :
         {Schedule::one_f_one_b, Schedule::zero_bubble, Schedule::zero_bubble_v}) {
        const auto plan = [&](std::int64_t micro_batches) {
            Scenario s = half_precision(RuntimeProfile::megatron, 4);
            s.model = test::deep_llama();
            std::get<LlamaSpec>(s.model.kind).layers = 14;
            s.training.micro_batch = 1;
            s.training.global_batch = micro_batches;
            s.strategies[0].pp = 4;
            s.strategies[0].schedule = schedule;
            s.strategies[0].recompute.kind = Recompute::Kind::full;
            return test::lower_tiny(s);
        };
        const Plan few = plan(10), many = plan(40);
        for (std::size_t role = 0; role < many.memory.size(); ++role) {
            SCOPED_TRACE(fmt::format("{}, stage {}", schedule_name(schedule), role));
            EXPECT_GE(many.memory[role].live_peak, few.memory[role].live_peak);
            for (const Bytes bytes : many.memory[role].categories) EXPECT_GE(bytes, Bytes(0));
        }
    }
}

}  // namespace
}  // namespace shardscope
