// What runtime profiles change in the Program: every profile's plans are sound, and each rule is seen.
#include <algorithm>
#include <set>
#include <utility>

#include <gtest/gtest.h>

#include "core/lowering/profile_rules.h"
#include "core/program/check.h"
#include "core/program/check_progress.h"
#include "tests/support/tiny.h"

namespace shardscope {
namespace {

template <class Matches>
std::int64_t count_instructions(const RoleProgram& role, Matches matches) {
    std::int64_t found = 0;
    for (const Task& task : role.schedule)
        for (const Instruction& i : role.bodies[task.body.index()].instructions)
            found += matches(i) ? 1 : 0;
    return found;
}

auto collective(CollectiveKind kind, Stream stream) {
    return [=](const Instruction& i) {
        const auto* c = std::get_if<Collective>(&i.operation);
        return c != nullptr && c->kind == kind && i.stream == stream;
    };
}

auto linear_in(Phase phase) {
    return [=](const Instruction& i) {
        const auto* c = std::get_if<Compute>(&i.operation);
        return c != nullptr && i.phase == phase && std::holds_alternative<Linear>(c->kernel);
    };
}

Plan plan_of(const ModelSpec& model, int ranks, const Strategy& strategy) {
    Scenario scenario = test::tiny_scenario(model, ranks);
    scenario.training.micro_batch = 2;
    const std::string name = scenario.strategies[0].name;
    scenario.strategies[0] = strategy;
    scenario.strategies[0].name = name;
    return test::lower_tiny(scenario);
}

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
                    std::vector<MemoryPlan> arenas;
                    for (const RoleProgram& role : plan.program.roles)
                        arenas.push_back(plan_memory(role, Bytes(0)));
                    EXPECT_NO_THROW(check_program(plan.program, arenas));
                    EXPECT_NO_THROW(check_progress(plan.program, Host::issues));
                }
}

// DeepSpeed's stages 1 and 2 all-reduce, its stage 3 and ours reduce-scatter.
TEST(Profiles, DeepSpeedShardsByAllReduce) {
    for (const int zero : {1, 2, 3}) {
        Strategy s;
        s.zero = zero;
        const auto reductions = [&](RuntimeProfile profile, CollectiveKind kind) {
            set_profile(s, profile);
            const Plan plan = plan_of(test::tiny_models().back(), 2, s);
            return count_instructions(plan.program.roles[0], collective(kind, Stream::reduce));
        };
        using enum CollectiveKind;
        EXPECT_EQ(reductions(RuntimeProfile::shardscope, all_reduce), 0);
        EXPECT_GT(reductions(RuntimeProfile::shardscope, reduce_scatter), 0);
        EXPECT_EQ(reductions(RuntimeProfile::deepspeed, reduce_scatter) > 0, zero == 3);
        EXPECT_EQ(reductions(RuntimeProfile::deepspeed, all_reduce) > 0, zero < 3);
    }
}

// DeepSpeed's stage 3 of 2021: a call per weight of more than 100,000 elements (the others go with the unit's
// buffer), nothing gathered ahead, and no kernel beside a reduction.
TEST(Profiles, DeepSpeedOf2021GathersWeightByWeight) {
    ModelSpec model = test::tiny_gpt();
    std::get<GptSpec>(model.kind).hidden = 240;  // 240 · 960 > 100,000 > 240 · 240
    std::get<GptSpec>(model.kind).ffn = 960;
    Strategy s;
    s.zero = 3;
    const auto block_lists = [&](RuntimeProfile profile) {
        set_profile(s, profile);
        const Plan plan = plan_of(model, 2, s);
        std::set<int> lists;
        count_instructions(plan.program.roles[0], [&](const Instruction& i) {
            const auto* c = std::get_if<Collective>(&i.operation);
            if (c != nullptr && c->kind != CollectiveKind::all_reduce) lists.insert(c->lists);
            return false;
        });
        return lists;
    };
    EXPECT_EQ(block_lists(RuntimeProfile::deepspeed), (std::set<int>{0}));
    // Embeddings and the last norm: one. Blocks: Wqkv, up and down.
    EXPECT_EQ(block_lists(RuntimeProfile::deepspeed_2021), (std::set<int>{1, 3}));
    EXPECT_EQ(as_executed(s).prefetch, 0);
    s.profile = RuntimeProfile::deepspeed;
    EXPECT_EQ(as_executed(s).prefetch, 1);
    s.profile = RuntimeProfile::deepspeed_2021;

    const Plan plan = plan_of(model, 2, s);
    const RoleProgram& role = plan.program.roles[0];
    for (const Body& body : role.bodies) {
        bool reducing = false;
        for (const Instruction& i : body.instructions) {
            if (collective(CollectiveKind::reduce_scatter, Stream::reduce)(i)) reducing = true;
            if (std::holds_alternative<WaitEvent>(i.operation) && i.stream == Stream::compute)
                reducing = false;
            if (i.stream == Stream::compute && std::holds_alternative<Compute>(i.operation)) {
                EXPECT_FALSE(reducing) << body.name;
            }
        }
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

Bytes bytes_of(const Plan& plan, std::string_view what, std::size_t role = 0) {
    Bytes sum;
    for (const Buffer& buffer : plan.program.roles[role].buffers)
        if (buffer.name.starts_with(what)) sum += buffer.size();
    return sum;
}

Scenario half_precision(RuntimeProfile profile, int ranks) {
    Scenario scenario = test::tiny_scenario(test::tiny_models().back(), ranks);
    scenario.training.precision = DType::bf16;
    set_profile(scenario.strategies[0], profile);
    return scenario;
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
    EXPECT_EQ(s.bucket.value, 1'000'000'000);
    set_profile(s, RuntimeProfile::shardscope);
    EXPECT_EQ(s.bucket, Strategy{}.bucket);
    s.bucket = Bytes(123);
    set_profile(s, RuntimeProfile::megatron);
    EXPECT_EQ(s.bucket.value, 123);
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

}  // namespace
}  // namespace shardscope
