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
    d.peak = {{DType::fp32, FlopsPerSecond(1e11)}, {DType::fp64, FlopsPerSecond(5e10)}};
    d.memory_bandwidth = BytesPerSecond(1e10);
    d.host_cost = Seconds(1e-7);
    s.cluster.intra_node = {BytesPerSecond(1e10), Seconds(1e-6), 1.0, "test"};
    s.cluster.inter_node = s.cluster.intra_node;
}

std::unique_ptr<Runner> make_runner(int which) {
    if (which == 0) return std::make_unique<EventRunner>();
    return std::make_unique<CpuRunner>();
}

using Case = std::tuple<int, int, int, int>;  // runner, model, ranks, zero

std::string name_of_case(const testing::TestParamInfo<Case>& info) {
    const std::string runners[] = {"Simulator", "CpuThreads"}, models[] = {"Mlp", "Gpt", "Llama"};
    const auto [runner, model, ranks, zero] = info.param;
    return runners[runner] + models[model] + "Ranks" + std::to_string(ranks) + "Zero" +
           std::to_string(zero);
}

class Parity : public testing::TestWithParam<Case> {
protected:
    Parity() {
        const auto [runner, model, ranks, zero] = GetParam();
        scenario_ =
            test::tiny_scenario(test::tiny_models()[static_cast<std::size_t>(model)], ranks);
        describe_machine(scenario_);
        scenario_.training.steps = 3;
        scenario_.training.micro_batch = 24 / ranks / 2;
        scenario_.training.clip = 1.0;
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

// Every kernel and collective of a step has one span on every runner.
TEST_P(Parity, EveryInstructionHasASpan) {
    const RoleProgram& role = plan_.program.roles[0];
    std::size_t kernels = 0, collectives = 0;
    for (const Task& task : role.schedule)
        for (const Instruction& i : role.bodies[task.body.index()].instructions) {
            kernels += std::holds_alternative<Compute>(i.operation);
            collectives += std::holds_alternative<Collective>(i.operation);
        }
    for (const RankTrace& rank : trace_.ranks) {
        std::size_t seen_kernels = 0, seen_collectives = 0;
        for (const Span& span : rank.spans) {
            EXPECT_LE(span.start, span.end);
            seen_kernels += span.kind == Span::Kind::compute;
            seen_collectives += span.kind == Span::Kind::communication;
        }
        EXPECT_EQ(seen_kernels, kernels);
        EXPECT_EQ(seen_collectives, collectives);
    }
}

INSTANTIATE_TEST_SUITE_P(Runners, Parity,
                         testing::Combine(testing::Values(0, 1), testing::Values(0, 1, 2),
                                          testing::Values(1, 2, 4), testing::Values(0, 1, 2, 3)),
                         name_of_case);

}  // namespace
}  // namespace shardscope
