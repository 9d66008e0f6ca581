// Properties of every lowered Program over a grid of models and strategies: it is free of races, its
// memory plan is tight, and what is kept between steps costs what the formulas say.
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/program/check.h"
#include "core/scenario_io.h"
#include "tests/support/tiny.h"

namespace shardscope {
namespace {

// Calls visit(scenario) for every combination; each scenario has one strategy.
template <class Visit>
void for_each_case(Visit&& visit) {
    for (const ModelSpec& model : test::tiny_models())
        for (int ranks : {1, 2, 3, 8})
            for (int zero : {0, 1, 2, 3})
                for (int accumulation : {1, 2, 3})
                    for (int variant : {0, 1, 2}) {
                        Scenario s = test::tiny_scenario(model, ranks);
                        if (24 / ranks % accumulation != 0) continue;
                        s.training.micro_batch = 24 / ranks / accumulation;
                        s.training.clip = variant == 1 ? 1.0 : 0.0;
                        s.training.precision = variant == 2 ? DType::bf16 : DType::fp32;
                        Strategy& strategy = s.strategies[0];
                        strategy.zero = zero;
                        strategy.prefetch = variant;
                        strategy.bucket = Bytes(variant == 0 ? 25 << 20 : 4000);
                        if (variant == 1) strategy.reduce_at = ReduceAt::micro_batch;
                        SCOPED_TRACE(test::describe(s, strategy));
                        visit(s);
                    }
}

std::int64_t sum_of(const RoleProgram& role, Category category, Residence residence) {
    std::int64_t sum = 0;
    for (const Buffer& b : role.buffers)
        if (b.category == category && b.residence == residence) sum += b.size().value;
    return sum;
}

TEST(Lowering, ProgramsHaveNoRacesAndAgreeOnCollectives) {
    for_each_case([](const Scenario& s) {
        const Plan plan = test::lower_tiny(s);
        EXPECT_NO_THROW(check_program(plan.program, plan.memory));
    });
}

// Alignment costs up to 63 bytes per buffer; beside it the plan may exceed the largest set of live
// buffers by 2 %.
TEST(Lowering, PlanIsWithinTwoPercentOfTheLargestLiveSet) {
    double worst = 0;
    for_each_case([&](const Scenario& s) {
        const Plan plan = test::lower_tiny(s);
        const auto& role = plan.program.roles[0];
        const auto& memory = plan.memory[0];
        const auto alignment = static_cast<std::int64_t>(role.buffers.size()) * kArenaAlignment;
        EXPECT_LE(memory.arena.value, memory.live_peak.value * 102 / 100 + alignment);
        EXPECT_GE(memory.arena.value, memory.live_peak.value);
        worst = std::max(worst, static_cast<double>(memory.arena.value - alignment) /
                                    static_cast<double>(memory.live_peak.value));
    });
    RecordProperty("worst_ratio", std::to_string(worst));
}

// The whole model is 14 times larger than alignment here, so nothing hides behind it.
TEST(Lowering, PlanIsTightForARealModel) {
    for (int zero : {0, 1, 2, 3})
        for (int accumulation : {1, 3}) {
            GptSpec gpt;
            gpt.layers = 12;
            gpt.hidden = 768;
            gpt.heads = 12;
            gpt.vocab = 50257;
            gpt.seq = 1024;
            Scenario s = test::tiny_scenario({"gpt2", gpt}, 4);
            s.training.precision = DType::bf16;
            s.training.micro_batch = 4;
            s.training.global_batch = 16 * accumulation;
            s.strategies[0].zero = zero;
            SCOPED_TRACE(test::describe(s, s.strategies[0]));
            const Plan plan = test::lower_tiny(s);
            EXPECT_LE(static_cast<double>(plan.memory[0].arena.value),
                      1.02 * static_cast<double>(plan.memory[0].live_peak.value));
        }
}

// docs/memory-model.md: bytes kept per parameter with Adam. Padding is what units add to reach equal
// shards, and is computed from them here.
// What unfused attention would store must not refuse a plan that never stores it.
TEST(Lowering, LongContextsAreNotRefused) {
    for (const char* seq : {"131072", "1048576"}) {
        const Scenario scenario = parse_scenario(
            std::string("model: {catalogue: llama-3-405b, seq: ") + seq +
                "}\ntraining: {global_batch: 64, micro_batch: 1, precision: bf16}\n"
                "cluster: {gpu: h100-sxm, nodes: 16}\n"
                "strategies: [{name: long, tp: 8, pp: 14, ranks: 112, recompute: full}]\n",
            "long.yaml", {});
        const auto model = std::make_shared<Model>(build_model(scenario.model));
        const Plan plan = lower(scenario, model, scenario.strategies[0], {});
        EXPECT_GT(plan.memory[0].arena, Bytes(std::int64_t{100} << 30)) << seq;
    }
}

TEST(Lowering, StatesCostWhatTheFormulasSay) {
    for_each_case([](const Scenario& s) {
        const Plan plan = test::lower_tiny(s);
        const auto& role = plan.program.roles[0];
        const std::int64_t n = plan.layout.dp;
        const int zero = n > 1 ? s.strategies[0].zero : 0;
        std::int64_t elements = 0, padded = 0;
        for (const Unit& u : plan.units[0]) {
            elements += u.elements;
            padded += u.padded;
            EXPECT_LT(u.padded - u.elements, n * kShardAlignment);
        }
        EXPECT_EQ(elements, plan.model->parameter_count());
        const bool mixed = s.training.precision == DType::bf16;
        const std::int64_t width = mixed ? 2 : 4, states = mixed ? 12 : 8;
        const auto kept = [&](Category c) { return sum_of(role, c, Residence::persistent); };
        EXPECT_EQ(kept(Category::parameters), width * padded / (zero >= 3 ? n : 1));
        EXPECT_EQ(kept(Category::gradients), width * padded / (zero >= 2 ? n : 1));
        EXPECT_EQ(kept(Category::optimizer_states), states * padded / (zero >= 1 ? n : 1));
        if (zero == 0) {  // no sharding, no padding: 16 bytes per parameter in either precision
            EXPECT_EQ(kept(Category::parameters) + kept(Category::gradients) +
                          kept(Category::optimizer_states),
                      16 * elements);
        }
    });
}

TEST(Lowering, CategoriesAddUpToTheArenaAndRuntime) {
    for_each_case([](Scenario s) {
        s.cluster.device.runtime = Bytes(12345);
        const Plan plan = test::lower_tiny(s);
        Bytes sum(0);
        for (Bytes b : plan.memory[0].categories) sum += b;
        EXPECT_EQ(sum.value, plan.memory[0].peak().value);
        EXPECT_EQ(sum.value, plan.memory[0].arena.value + 12345);
    });
}

// Every element of every parameter and state lies on exactly one rank (sharded) or on each (not).
TEST(Lowering, ShardMapCoversEveryElement) {
    for_each_case([](const Scenario& s) {
        const Plan plan = test::lower_tiny(s);
        const int zero = plan.layout.dp > 1 ? s.strategies[0].zero : 0;
        using Tensor = ShardSlice::Tensor;
        std::map<Tensor, std::vector<std::vector<int>>> seen;
        for (int r = 0; r < plan.layout.world; ++r)
            for (const ShardSlice& slice : shard_map(plan, Rank(r))) {
                auto& counts = seen[slice.tensor];
                counts.resize(plan.model->parameters.size());
                auto& c = counts[slice.parameter.index()];
                c.resize(static_cast<std::size_t>(
                    plan.model->parameters[slice.parameter.index()].elements()));
                for (std::int64_t i = 0; i < slice.count; ++i)
                    ++c[static_cast<std::size_t>(slice.global_first + i)];
            }
        const auto expect = [&](Tensor tensor, int sharded_from) {
            for (const auto& counts : seen[tensor])
                for (int c : counts) ASSERT_EQ(c, zero >= sharded_from ? 1 : plan.layout.world);
        };
        expect(Tensor::parameter, 3);
        expect(Tensor::gradient, 1);  // stage 1 keeps whole gradients but reduces only its slice
        expect(Tensor::state1, 1);
        expect(Tensor::state2, 1);
        EXPECT_EQ(seen.count(Tensor::master), s.training.precision == DType::bf16 ? 1U : 0U);
    });
}

// ZeRO 3 holds at most prefetch + 1 gathered layers at any position.
TEST(Lowering, GatheredLayersAreBoundedByPrefetch) {
    for (const ModelSpec& model : test::tiny_models())
        for (int prefetch : {0, 1, 2}) {
            Scenario s = test::tiny_scenario(model, 2);
            s.strategies[0].zero = 3;
            s.strategies[0].prefetch = prefetch;
            SCOPED_TRACE(test::describe(s, s.strategies[0]));
            const Plan plan = test::lower_tiny(s);
            const auto& role = plan.program.roles[0];
            const auto lives = lifetimes(role);
            std::int32_t end = 0;
            for (const auto& life : lives)
                for (const Interval& v : life.intervals) end = std::max(end, v.last);
            std::size_t most = 0;
            for (std::int32_t p = 0; p <= end; ++p) {
                std::set<std::string> layers;  // a layer with borrowed weights gathers two units
                for (std::size_t i = 0; i < lives.size(); ++i) {
                    const std::string& name = role.buffers[i].name;
                    if (name.rfind("gathered ", 0) != 0) continue;
                    for (const Interval& v : lives[i].intervals)
                        if (v.first <= p && p <= v.last)
                            layers.insert(name.substr(name.find(" for ")));
                }
                most = std::max(most, layers.size());
            }
            EXPECT_EQ(most, static_cast<std::size_t>(prefetch) + 1);
        }
}

// Negative controls: the checker finds what lowering must never produce.
TEST(CheckProgram, FindsAMissingWait) {
    Scenario s = test::tiny_scenario(test::tiny_gpt(), 2);
    s.strategies[0].zero = 3;
    Plan plan = test::lower_tiny(s);
    int found = 0, seeded = 0;
    for (Body& body : plan.program.roles[0].bodies)
        for (std::size_t i = 0; i < body.instructions.size(); ++i) {
            if (!std::holds_alternative<WaitEvent>(body.instructions[i].operation)) continue;
            const std::vector<Instruction> whole = body.instructions;
            body.instructions.erase(body.instructions.begin() + static_cast<std::ptrdiff_t>(i));
            ++seeded;
            try {
                check_program(plan.program, plan.memory);
            } catch (const Error&) {  // a race, or a lifetime that now has no end
                ++found;
            }
            body.instructions = whole;
        }
    EXPECT_GT(seeded, 20);
    // The others are no hazard with these offsets: what they order does not share bytes, or a later
    // wait on the same stream orders it too.
    EXPECT_GE(found * 2, seeded);
}

TEST(CheckProgram, FindsOverlappingBuffersAndUninitialisedReads) {
    Scenario s = test::tiny_scenario(test::tiny_gpt(), 2);
    s.strategies[0].zero = 2;
    Plan plan = test::lower_tiny(s);
    auto broken = plan;
    for (std::size_t i = 0; i < plan.program.roles[0].buffers.size(); ++i)
        if (plan.program.roles[0].buffers[i].name.rfind("gradient bucket", 0) == 0)
            broken.memory[0].offset[i] = plan.memory[0].offset[0];
    try {
        check_program(broken.program, broken.memory);
        FAIL() << "not found";
    } catch (const Error& e) {
        EXPECT_EQ(e.rule, "program-overlap");
    }

    broken = plan;
    auto& forward = broken.program.roles[0].bodies[0].instructions;
    forward.erase(forward.begin());  // the batch is never loaded
    try {
        check_program(broken.program, broken.memory);
        FAIL() << "not found";
    } catch (const Error& e) {
        EXPECT_EQ(e.rule, "program-uninitialised");
    }
}

TEST(CheckProgram, FindsCollectivesThatDoNotMatch) {
    Plan plan = test::lower_tiny(test::tiny_scenario(test::tiny_mlp(), 2));
    RoleProgram other = plan.program.roles[0];
    other.name = "other";
    for (Body& body : other.bodies)
        for (Instruction& i : body.instructions)
            if (auto* c = std::get_if<Collective>(&i.operation)) c->elements += 1;
    plan.program.roles.push_back(other);
    plan.memory.push_back(plan.memory[0]);
    try {
        check_program(plan.program, plan.memory);
        FAIL() << "not found";
    } catch (const Error& e) {
        EXPECT_EQ(e.rule, "program-collective");
    }
}

}  // namespace
}  // namespace shardscope
