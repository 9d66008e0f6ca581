// The same scenarios through every runner: what is predicted and what is measured have one type, and
// here they are held against each other. Times are compared in benchmarks only (bench/), since a test
// must not depend on how busy the machine is.
#include <memory>
#include <tuple>

#include <gtest/gtest.h>

#include "backends/cpu/cpu_runner.h"
#include "simulator/event_runner.h"
#include "tests/support/tiny.h"

namespace shardscope {
namespace {

// A machine with round figures; only memory and structure are compared.
void describe_machine(Scenario& s) {
    Device& d = s.cluster.device;
    d.name = "test machine";
    d.peak = {{MathType::fp32, FlopsPerSecond(1e11)}, {MathType::fp64, FlopsPerSecond(5e10)}};
    d.memory_bandwidth = BytesPerSecond(1e10);
    d.host_cost = Seconds(1e-7);
    s.cluster.intra_node = {BytesPerSecond(1e10), Seconds(1e-6), 1.0, "test"};
    s.cluster.inter_node = s.cluster.intra_node;
}

std::unique_ptr<Runner> make_runner(int which) {
    if (which == 0) return std::make_unique<EventRunner>();
    return std::make_unique<CpuRunner>();
}

struct ParityShape {
    const char* name;
    int tp = 1, pp = 1, dp = 1;
    Schedule schedule = Schedule::one_f_one_b;
    int chunks = 1;
};
const ParityShape kShapes[] = {{"OneRank"},
                               {"Dp2", 1, 1, 2},
                               {"Dp4", 1, 1, 4},
                               {"Tp2Dp2", 2, 1, 2},
                               {"Pp2Dp2", 1, 2, 2},
                               {"Tp2Pp2", 2, 2, 1},
                               {"Pp3ZeroBubble", 1, 3, 1, Schedule::zero_bubble},
                               {"Pp2ZeroBubbleV", 1, 2, 1, Schedule::zero_bubble_v},
                               {"Pp2Interleaved", 1, 2, 1, Schedule::one_f_one_b, 2}};

using ParityCase = std::tuple<int, int, int, int>;  // runner, model, index into kShapes, zero

std::string parity_case_name(const testing::TestParamInfo<ParityCase>& info) {
    const std::string runners[] = {"Simulator", "CpuThreads"}, models[] = {"Mlp", "Gpt", "Llama"};
    const auto [runner, model, shape, zero] = info.param;
    return runners[runner] + models[model] + kShapes[shape].name + "Zero" + std::to_string(zero);
}

class Parity : public testing::TestWithParam<ParityCase> {
protected:
    Parity() {
        const auto [runner, model, number, zero] = GetParam();
        const ParityShape& shape = kShapes[number];
        scenario_ = test::tiny_scenario(test::tiny_models()[static_cast<std::size_t>(model)],
                                        shape.tp * shape.pp * shape.dp);
        describe_machine(scenario_);
        scenario_.training.steps = 3;
        scenario_.training.micro_batch = 24 / shape.dp / 2;
        scenario_.training.clip = 1.0;
        scenario_.strategies[0].tp = shape.tp;
        scenario_.strategies[0].pp = shape.pp;
        scenario_.strategies[0].schedule = shape.schedule;
        scenario_.strategies[0].virtual_stages = shape.chunks;
        scenario_.strategies[0].sequence_parallel = shape.tp > 1 && model > 0;
        scenario_.strategies[0].zero = zero;
        scenario_.strategies[0].bucket = Bytes(4000);
        plan_ = test::lower_tiny(scenario_);
        RunOptions options;
        options.record_spans = true;
        trace_ = make_runner(runner)->run(scenario_, plan_, options);
    }
    Scenario scenario_;
    Plan plan_;
    Trace trace_;
};

// Exact: memory is planned, and both runners account for the plan.
TEST_P(Parity, MemoryIsThePlansToTheByte) {
    for (const RankTrace& rank : trace_.ranks) {
        const MemoryPlan& plan = plan_.memory_of(rank.rank);
        EXPECT_EQ(rank.memory.peak.value, plan.peak().value);
        for (std::size_t c = 0; c < kCategories; ++c)
            EXPECT_EQ(rank.memory.categories[c].value, plan.categories[c].value)
                << category_name(static_cast<Category>(c));
        EXPECT_EQ(rank.memory.peak_phase, plan.peak_phase);
    }
}

// 1e-9 s: the parts are sums of doubles.
TEST_P(Parity, PartsSumToTheStep) {
    for (const RankTrace& rank : trace_.ranks) {
        ASSERT_FALSE(rank.steps.empty());
        for (const StepTime& t : rank.steps)
            EXPECT_NEAR((t.compute + t.exposed_communication + t.bubble + t.optimizer).value,
                        t.wall.value, 1e-9);
    }
}

// Every kernel, collective and transfer of a step has one span on every runner.
TEST_P(Parity, EveryInstructionHasASpan) {
    for (const RankTrace& rank : trace_.ranks) {
        const RoleProgram& role = plan_.program.roles[plan_.program.role_of(rank.rank)];
        std::size_t kernels = 0, communication = 0;
        for (const Task& task : role.schedule)
            for (const Instruction& i : role.bodies[task.body.index()].instructions) {
                kernels += std::holds_alternative<Compute>(i.operation);
                communication += std::holds_alternative<Collective>(i.operation) ||
                                 std::holds_alternative<Exchange>(i.operation);
            }
        std::size_t seen_kernels = 0, seen_communication = 0;
        for (const Span& span : rank.spans) {
            EXPECT_LE(span.start, span.end);
            seen_kernels += span.kind == Span::Kind::compute;
            seen_communication += span.kind == Span::Kind::communication;
        }
        EXPECT_EQ(seen_kernels, kernels);
        EXPECT_EQ(seen_communication, communication);
    }
}

INSTANTIATE_TEST_SUITE_P(Runners, Parity,
                         testing::Combine(testing::Values(0, 1), testing::Values(0, 1, 2),
                                          testing::Range(0, 8), testing::Values(0, 1, 2, 3)),
                         parity_case_name);

}  // namespace
}  // namespace shardscope
