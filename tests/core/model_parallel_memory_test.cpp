// What a rank of a model-parallel plan holds: states per parameter, activations of a block against
// Megatron-LM's formulas, micro-batches in flight, and what recomputation saves.
#include <algorithm>
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "tests/core/plan_facts.h"
#include "tests/support/families.h"
#include "tests/support/tiny.h"

namespace shardscope {
namespace {

using test::kept;

// h and s large against what the formulas leave out, f = 4h, bf16.
constexpr std::int64_t kGptHidden = 256, kGptSeq = 128, kGptHeads = 8, kGptBatch = 2;

Scenario gpt_scenario(int tp, int pp, int dp, std::int64_t micro_batches = 1) {
    GptSpec spec;
    spec.layers = 8;
    spec.hidden = kGptHidden;
    spec.heads = kGptHeads;
    spec.vocab = 64;
    spec.seq = kGptSeq;
    Scenario s = test::tiny_scenario({"gpt", spec}, tp * pp * dp);
    s.cluster.device.kind = DeviceKind::gpu;
    s.training.precision = DType::bf16;
    s.training.micro_batch = kGptBatch;
    s.training.global_batch = kGptBatch * dp * micro_batches;
    s.strategies[0].tp = tp;
    s.strategies[0].pp = pp;
    s.strategies[0].dp = dp;
    return s;
}

struct Formula {
    int tp = 1;
    bool sequence_parallel = false;
    AttentionKind attention = AttentionKind::flash;
    Recompute recompute;
    double sbh = 0;               // in units of s·b·h bytes
    double probabilities = 0;     // in units of a·s²·b bytes
    std::int64_t statistics = 0;  // fp32 values per row (norms) …
    std::int64_t row_heads = 0;   // … and per row and head (log-sum-exps)
};

void expect_block(const Formula& f, RuntimeProfile profile = RuntimeProfile::shardscope) {
    Scenario s = gpt_scenario(f.tp, 1, 1);
    set_profile(s.strategies[0], profile);
    s.strategies[0].sequence_parallel = f.sequence_parallel;
    s.strategies[0].attention = f.attention;
    s.strategies[0].recompute = f.recompute;
    const double rows = kGptSeq * kGptBatch, local = f.sequence_parallel ? rows / f.tp : rows;
    const double expected = f.sbh * rows * kGptHidden +
                            f.probabilities * kGptHeads * kGptSeq * rows +
                            4 * static_cast<double>(f.statistics) * local +
                            4 * static_cast<double>(f.row_heads) * rows * kGptHeads / f.tp;
    SCOPED_TRACE(test::describe(s, s.strategies[0]));
    EXPECT_EQ(static_cast<double>(test::saved_by_a_block(test::lower_tiny(s))), expected);
}

// docs/memory-model.md, "What lives within a step", for every choice that a block can make.
TEST(ActivationFormulas, HoldForEveryFamily) {
    for (const ModelSpec& model : test::tiny_families()) {
        const auto& t = std::get<TransformerSpec>(model.kind);
        const Scenario s = test::tiny_scenario(model, 1);
        const std::int64_t rows = s.training.micro_batch * t.seq;
        const std::int64_t widths = is_gated(t.mlp) ? 3 : t.mlp == Mlp::relu ? 1 : 2;
        const std::int64_t statistics = t.norm == NormKind::layer_norm ? 4 : 2;
        const std::int64_t normed = t.qk_norm ? t.heads + t.kv_heads : 0;
        const std::int64_t elements = (t.parallel_residual ? 3 : 4) * t.hidden +
                                      (2 * t.heads + 2 * t.kv_heads + normed) * t.head_dim +
                                      widths * t.ffn;
        EXPECT_EQ(test::saved_by_a_block(test::lower_tiny(s)),
                  4 * rows * (elements + statistics + t.heads + normed))
            << model.name;
    }
}

// Korthikanti et al. 2022 (arXiv:2205.05198), table 2, less what our own way does not have: dropout masks, 1 byte
// per element, twice per block (34 → 32, 10 → 8), and with unfused attention mask and dropout output
// (5 → 2). What they leave out are the statistics: 4 fp32 values per row for two layer norms, and a
// log-sum-exp per row and head with flash attention.
TEST(ActivationFormulas, AreMegatronsWithoutDropout) {
    using enum AttentionKind;
    const Recompute none, selective{Recompute::Kind::selective, 1};
    expect_block({1, false, flash, none, 32, 0, 4, 1});
    expect_block({1, false, unfused, none, 32, 2, 4, 0});
    for (const int t : {2, 4, 8}) {
        expect_block({t, false, flash, none, 8 + 24.0 / t, 0, 4, 1});
        expect_block({t, false, unfused, none, 8 + 24.0 / t, 2.0 / t, 4, 0});
        expect_block({t, true, flash, none, 32.0 / t, 0, 4, 1});
        expect_block({t, true, unfused, none, 32.0 / t, 2.0 / t, 4, 0});
        // Megatron's selective recomputation keeps the core's output, 2/t, which we compute again.
        expect_block({t, true, unfused, selective, 30.0 / t, 0, 4, 0});
        expect_block({t, true, flash, selective, 30.0 / t, 0, 4, 0});
        // The block's input alone.
        expect_block({t, true, flash, {Recompute::Kind::full, 1}, 2.0 / t, 0, 0, 0});
    }
    expect_block({1, false, flash, {Recompute::Kind::full, 1}, 2, 0, 0, 0});
    // Of every two blocks the first is computed again: this one keeps everything.
    expect_block({1, false, flash, {Recompute::Kind::full, 2}, 32, 0, 4, 1});
}

// The whole of table 2 where a product's layers drop out, but for attention's output in selective recomputation.
TEST(ActivationFormulas, AreMegatronsWhereItsLayersDropOut) {
    using enum AttentionKind;
    const Recompute none, selective{Recompute::Kind::selective, 1};
    constexpr RuntimeProfile kMegatron = RuntimeProfile::megatron_2021;
    for (const RuntimeProfile profile :
         {kMegatron, RuntimeProfile::megatron, RuntimeProfile::deepspeed}) {
        expect_block({1, false, flash, none, 34, 0, 4, 1}, profile);
        expect_block({1, false, unfused, none, 34, 5, 4, 0}, profile);
    }
    for (const int t : {2, 4}) {
        expect_block({t, false, unfused, none, 10 + 24.0 / t, 5.0 / t, 4, 0}, kMegatron);
        expect_block({t, true, unfused, none, 34.0 / t, 5.0 / t, 4, 0}, kMegatron);
        expect_block({t, true, unfused, selective, 32.0 / t, 0, 4, 0}, kMegatron);
    }
    expect_block({1, false, unfused, {Recompute::Kind::full, 1}, 2, 0, 0, 0}, kMegatron);
    expect_block({1, false, unfused, none, 32, 2, 4, 0}, RuntimeProfile::megatron_deepspeed);
}

// Blocks with gated MLPs and rotary positions are trained without.
TEST(ActivationFormulas, LlamasDoNotDropOut) {
    Scenario s = test::tiny_scenario(test::tiny_models().back(), 1);
    s.strategies[0].attention = AttentionKind::unfused;
    const std::int64_t ours = test::saved_by_a_block(test::lower_tiny(s));
    set_profile(s.strategies[0], RuntimeProfile::megatron_2021);
    EXPECT_EQ(test::saved_by_a_block(test::lower_tiny(s)), ours);
}

// Bytes of a category among persistent buffers.
// 4 + 12/N, 2 + 14/N and 16/N bytes per parameter of the stage's part, plus the padding of each unit to
// N shards of a multiple of 16 elements.
TEST(StatesPerParameter, AreZerosOnEveryStage) {
    for (const int tp : {1, 2})
        for (const int pp : {1, 2, 4})
            for (const int zero : {0, 1, 2, 3}) {
                const int n = 4;
                Scenario s = gpt_scenario(tp, pp, n);
                s.strategies[0].zero = zero;
                SCOPED_TRACE(test::describe(s, s.strategies[0]));
                const Plan plan = test::lower_tiny(s);
                for (std::size_t stage = 0; stage < plan.program.roles.size(); ++stage) {
                    std::int64_t elements = 0, shard = 0;
                    for (const Unit& unit : plan.units[stage]) {
                        elements += unit.elements;
                        shard += unit.shard;
                        EXPECT_LE(unit.padded, unit.elements + n * kShardAlignment);
                    }
                    const std::int64_t whole = zero == 0 ? elements : shard * n;
                    const RoleProgram& role = plan.program.roles[stage];
                    EXPECT_EQ(kept(role, Category::parameters), 2 * (zero == 3 ? shard : whole));
                    EXPECT_EQ(kept(role, Category::gradients), 2 * (zero >= 2 ? shard : whole));
                    EXPECT_EQ(kept(role, Category::optimizer_states),
                              12 * (zero >= 1 ? shard : whole));
                }
            }
}

// Largest number of micro-batches that the stage has begun and not finished.
std::size_t in_flight(const RoleProgram& role) {
    std::map<std::int32_t, std::size_t> last;
    for (std::size_t t = 0; t < role.schedule.size(); ++t)
        if (role.bodies[role.schedule[t].body.index()].chunk >= 0)
            last[role.schedule[t].micro_batch] = t;
    std::set<std::int32_t> open;
    std::size_t most = 0;
    for (std::size_t t = 0; t < role.schedule.size(); ++t) {
        const Task& task = role.schedule[t];
        if (role.bodies[task.body.index()].chunk < 0) continue;
        open.insert(task.micro_batch);
        most = std::max(most, open.size());
        if (last[task.micro_batch] == t) open.erase(task.micro_batch);
    }
    return most;
}

TEST(MicroBatchesInFlight, AreWhatTheSchedulesNeed) {
    Scenario s = gpt_scenario(1, 4, 1, 16);
    for (const auto& [schedule, expected] :
         {std::pair{Schedule::one_f_one_b, std::vector<std::size_t>{4, 3, 2, 1}},
          {Schedule::gpipe, {16, 16, 16, 16}},
          {Schedule::zero_bubble, {4, 4, 4, 4}},
          {Schedule::zero_bubble_v, {8, 7, 6, 5}}}) {
        s.strategies[0].schedule = schedule;
        const Plan plan = test::lower_tiny(s);
        for (std::size_t stage = 0; stage < 4; ++stage)
            EXPECT_EQ(in_flight(plan.program.roles[stage]), expected[stage])
                << schedule_name(schedule) << " stage " << stage;
    }
}

// The arena is at most this much larger than the largest set of live bytes: 3 % because what a backward
// body needs for itself does not reuse the part of its frame that it has let go; 8 % for ZB-H1, whose
// frames change hands within a task.
TEST(ArenaOfPipelines, IsCloseToTheLargestLiveSet) {
    for (const Schedule schedule : {Schedule::gpipe, Schedule::one_f_one_b, Schedule::zero_bubble})
        for (const bool sequence_parallel : {false, true})
            for (const std::int64_t micro_batches : {1, 3, 8}) {
                Scenario s = gpt_scenario(2, 4, 1, micro_batches);
                s.strategies[0].schedule = schedule;
                s.strategies[0].sequence_parallel = sequence_parallel;
                SCOPED_TRACE(test::describe(s, s.strategies[0]));
                const Plan plan = test::lower_tiny(s);
                for (const MemoryPlan& memory : plan.memory) {
                    EXPECT_LE(memory.live_peak.value, memory.arena.value);
                    const double bound = schedule == Schedule::zero_bubble ? 1.08 : 1.03;
                    EXPECT_LE(static_cast<double>(memory.arena.value),
                              bound * static_cast<double>(memory.live_peak.value));
                }
            }
}

// What is in flight, and so what an allocator holds, does not grow with the micro-batches of a step once the pipeline
// is full: the replay leaves out micro-batches that repeat others, and none of those that fill it.
TEST(CachingMemoryOfPipelines, DoesNotGrowWithMicroBatches) {
    for (const Schedule schedule :
         {Schedule::one_f_one_b, Schedule::zero_bubble, Schedule::zero_bubble_v}) {
        const auto peaks = [&](std::int64_t micro_batches) {
            Scenario s = gpt_scenario(1, 4, 1, micro_batches);
            s.strategies[0].schedule = schedule;
            set_profile(s.strategies[0], RuntimeProfile::megatron);
            std::vector<Bytes> live;
            for (const MemoryPlan& memory : test::lower_tiny(s).memory) {
                EXPECT_TRUE(memory.caching);
                EXPECT_LE(memory.live_peak, memory.arena) << schedule_name(schedule);
                live.push_back(memory.live_peak);
            }
            return live;
        };
        EXPECT_EQ(peaks(12), peaks(32)) << schedule_name(schedule);
    }
}

// Forty blocks are too many for the packer's more thorough orders.
TEST(ArenaOfDeepModels, IsCloseToTheLargestLiveSetWithRecomputation) {
    for (const Recompute& recompute : {Recompute{},
                                       {Recompute::Kind::selective, 1},
                                       {Recompute::Kind::full, 1},
                                       {Recompute::Kind::full, 2}})
        for (const int zero : {0, 3}) {
            Scenario s = gpt_scenario(1, 1, 2);
            std::get<GptSpec>(s.model.kind).layers = 40;
            s.strategies[0].recompute = recompute;
            s.strategies[0].zero = zero;
            SCOPED_TRACE(test::describe(s, s.strategies[0]));
            const MemoryPlan memory = test::lower_tiny(s).memory[0];
            EXPECT_LE(static_cast<double>(memory.arena.value),
                      1.02 * static_cast<double>(memory.live_peak.value));
        }
}

std::int64_t highest(const Plan& plan) {
    std::int64_t most = 0;
    for (const MemorySample& sample : memory_timeline(plan.program.roles[0]))
        most = std::max(most, sample.live.value);
    return most;
}

TEST(MemoryTimeline, ReachesThePeakAndShowsWhatRecomputationSaves) {
    std::vector<std::int64_t> peaks;
    for (const Recompute& recompute : {Recompute{},
                                       {Recompute::Kind::selective, 1},
                                       {Recompute::Kind::full, 2},
                                       {Recompute::Kind::full, 1}}) {
        Scenario s = gpt_scenario(1, 2, 1, 4);
        s.strategies[0].attention = AttentionKind::unfused;
        s.strategies[0].recompute = recompute;
        const Plan plan = test::lower_tiny(s);
        EXPECT_EQ(highest(plan), plan.memory[0].live_peak.value);
        peaks.push_back(highest(plan));
    }
    EXPECT_TRUE(std::is_sorted(peaks.rbegin(), peaks.rend()));
    EXPECT_LT(peaks.back(), 0.8 * static_cast<double>(peaks.front())) << "states are the rest";
}

}  // namespace
}  // namespace shardscope
