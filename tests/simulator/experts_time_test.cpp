// How long mixtures of experts take: grouped multiplies, all-to-alls on the compute stream, monotonicity.
#include <gtest/gtest.h>

#include "core/scenario_io.h"
#include "simulator/collective_cost.h"
#include "simulator/cost_model.h"
#include "simulator/event_runner.h"

namespace shardscope {
namespace {

Scenario mixture(const std::string& strategy, const std::string& cluster = "nodes: 1",
                 const std::string& experts = "") {
    return parse_scenario(
        "model: {transformer: {layers: 2, hidden: 2048, heads: 16, ffn: 5632, vocab: 32000, seq: "
        "2048, experts: {count: 16, per_token: 2, ffn: 1408" +
            experts + "}}}\ntraining: {global_batch: 64, micro_batch: 2, precision: bf16}\n" +
            "cluster: {gpu: h100-sxm, " + cluster + "}\nstrategies: [{name: x, " + strategy +
            "}]\n",
        "experts.yaml", {});
}

struct Simulated {
    Plan plan;
    Trace trace;
    StepTime time() const { return trace.ranks[0].steps[0]; }
};

Simulated simulated(const Scenario& s) {
    RunOptions options;
    options.record_spans = true;
    Simulated result{lower(s, std::make_shared<const Model>(build_model(s.model)), s.strategies[0],
                           ExecutionTarget::of(s.cluster.device)),
                     {}};
    result.trace = EventRunner().run(s, result.plan, options);
    return result;
}

double kernel_seconds(const CostModel& cost, const Kernel& kernel) {
    return cost.kernel({kernel, DType::bf16, DType::bf16}).value;
}

// Sixteen experts take longer than one with its part of the rows, and not longer than one after the other;
// nor less than one multiply of all rows, whose weights are read once.
TEST(ExpertsTime, GroupedMultipliesAreBetweenOneAndAll) {
    const Device device = mixture("ep: 8").cluster.device;
    const CostModel cost(device);
    for (const std::int64_t rows : {16, 160, 1000, 4096, 65536}) {
        const double one = kernel_seconds(cost, Linear{rows, 2048, 2816});
        const double all = kernel_seconds(cost, Linear{16 * rows, 2048, 2816});
        Linear grouped{16 * rows, 2048, 2816};
        grouped.experts = 16;
        EXPECT_GT(kernel_seconds(cost, grouped), one) << rows;
        // 1 %: a longer multiply runs at a lower clock.
        EXPECT_LT(kernel_seconds(cost, grouped), 1.01 * 16 * one) << rows;
        EXPECT_GT(kernel_seconds(cost, grouped), 0.99 * all) << rows;
    }
}

// Products multiply one expert after the other. 5 µs: what a kernel of its own takes to start.
TEST(ExpertsTime, ProductsMultiplyOneAfterTheOther) {
    const Device device = mixture("ep: 8").cluster.device;
    const CostModel ours(device), product(device, RuntimeProfile::megatron);
    for (const std::int64_t rows : {16, 160, 1000, 4096}) {
        Linear grouped{16 * rows, 2048, 2816};
        grouped.experts = 16;
        const double one = kernel_seconds(product, Linear{rows, 2048, 2816});
        EXPECT_NEAR(kernel_seconds(product, grouped), 16 * one, 16 * 5e-6) << rows;
        EXPECT_GE(kernel_seconds(product, grouped), kernel_seconds(ours, grouped)) << rows;
    }
}

// Spans of collectives on the compute stream, in seconds.
double on_the_compute_stream(const Simulated& s) {
    const RoleProgram& role = s.plan.program.roles[0];
    double sum = 0;
    for (const Span& span : s.trace.ranks[0].spans) {
        const Instruction& i =
            role.bodies[span.body.index()].instructions[static_cast<std::size_t>(span.instruction)];
        if (i.stream == Stream::compute && std::holds_alternative<Collective>(i.operation))
            sum += (span.end - span.start).value;
    }
    return sum;
}

// Megatron's gradients are reduced after the backward pass: nothing shares the links with the all-to-alls.
TEST(ExpertsTime, AllToAllsTakeWhatTheCollectiveModelSays) {
    const Scenario s = mixture("ep: 8, profile: megatron");
    const Simulated run = simulated(s);
    const CollectiveCost cost(s.cluster);
    const GroupShape shape{8, 1, 8, 8, 1, 1, 56};
    const std::int64_t places = 2 * 2048 * 2, times = 2 * run.plan.layout.micro_batches;
    const auto one = [&](std::int64_t bytes) {
        return cost.collective(CollectiveKind::all_to_all, Bytes(bytes), shape).value;
    };
    const double expected =
        static_cast<double>(times) * (4 * one(places * 2048 * 2) + 2 * one(places * 4));
    EXPECT_NEAR(on_the_compute_stream(run), expected, 1e-9 * expected);
    EXPECT_GE(run.time().exposed_communication.value, expected);
}

TEST(ExpertsTime, MoreRowsOrASlowerNetworkAreNeverFaster) {
    double last = 0;
    for (const char* capacity : {"1", "1.25", "1.5", "2"}) {
        const double wall =
            simulated(mixture("ep: 8", "nodes: 2", std::string(", capacity_factor: ") + capacity))
                .time()
                .wall.value;
        EXPECT_GT(wall, last) << capacity;
        last = wall;
    }
    last = 0;
    for (const double slower : {1.0, 2.0, 8.0}) {
        Scenario s = mixture("ep: 16", "nodes: 2");
        s.cluster.inter_node.bandwidth =
            BytesPerSecond(s.cluster.inter_node.bandwidth.value / slower);
        const double wall = simulated(s).time().wall.value;
        EXPECT_GE(wall, last) << slower;
        last = wall;
    }
}

// The parts of the step sum to it, also in a pipeline with tensor parallelism.
TEST(ExpertsTime, PartsSumToTheStep) {
    for (const char* strategy :
         {"ep: 2, tp: 2, pp: 2, sequence_parallel: true", "ep: 4, pp: 2, schedule: zb-h1",
          "ep: 4, zero: 3", "ep: 8, zero: 1, recompute: full"}) {
        const StepTime time = simulated(mixture(strategy)).time();
        const Seconds sum =
            time.compute + time.exposed_communication + time.bubble + time.optimizer;
        EXPECT_NEAR(sum.value, time.wall.value, 1e-9 * time.wall.value) << strategy;
        EXPECT_GT(time.exposed_communication.value, 0) << strategy;
    }
}

}  // namespace
}  // namespace shardscope
