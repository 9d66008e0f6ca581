// Offloading under the clock: what it takes where host, link or NVMe are slow, and that faster ones are never
// slower.
#include <functional>

#include <gtest/gtest.h>

#include "core/cluster/cluster_source.h"
#include "simulator/event_runner.h"
#include "simulator/offload_cost.h"
#include "tests/simulator/first_strategy.h"

namespace shardscope {
namespace {

using enum OffloadTo;
using test::first_plan;
using test::first_step;

constexpr int kRanks = 4;

Scenario offload_scenario(const Offload& offload) {
    Scenario s;
    LlamaSpec spec;
    spec.layers = 4;
    spec.hidden = 1024;
    spec.heads = 16;
    spec.kv_heads = 16;
    spec.ffn = 4096;
    spec.vocab = 1024;
    spec.seq = 1024;
    s.model = {"llama", spec};
    s.training.global_batch = 8;
    s.training.micro_batch = 1;
    s.training.precision = DType::bf16;
    s.cluster = catalogue_cluster("h100-sxm");
    s.cluster.gpus_per_node = kRanks;
    Strategy strategy;
    strategy.name = "offloaded";
    strategy.zero = 3;
    strategy.recompute = {Recompute::Kind::full, 1};
    strategy.offload = offload;
    s.strategies.push_back(strategy);
    return s;
}

double sharded_elements(const Scenario& s) {
    const Plan plan = first_plan(s);
    double sum = 0;
    for (const Unit& unit : plan.units[0]) sum += static_cast<double>(unit.shard);
    return sum;
}

// AdamW reads a bf16 gradient, master and two states, and writes those three and bf16 parameters.
TEST(OffloadTime, TheHostsStepIsBoundByItsMemory) {
    Scenario s = offload_scenario({.optimizer = cpu});
    s.cluster.host.memory_bandwidth = BytesPerSecond(1e9);
    const double rate = 1e9 * s.cluster.host.memory_efficiency / kRanks;
    const double expected = sharded_elements(s) * (2 + 3 * 4 + 3 * 4 + 2) / rate;
    const StepTime time = first_step(s);
    EXPECT_NEAR(time.optimizer.value, expected, 0.01 * expected);
    EXPECT_NEAR(time.wall.value,
                (time.compute + time.exposed_communication + time.bubble + time.optimizer).value,
                1e-9);
}

// While one unit is stepped the next one's states are read and the last one's written.
TEST(OffloadTime, StatesComeAndGoBesideTheStep) {
    Scenario s = offload_scenario({.optimizer = nvme});
    s.cluster.host.nvme_read = s.cluster.host.nvme_write = BytesPerSecond(1e9);
    const double once = sharded_elements(s) * 3 * 4 / (1e9 / kRanks);
    const StepTime time = first_step(s);
    EXPECT_GT(time.wall.value, once);
    EXPECT_LT(time.wall.value, 1.7 * once);  // not twice: most of both ways overlap
}

TEST(OffloadTime, ASlowLinkIsAllThatCounts) {
    Scenario s = offload_scenario({.activations = cpu});
    s.cluster.host.link.bandwidth = BytesPerSecond(1e8);
    const double checkpoint = 1024.0 * 1024 * 2, rate = 1e8 * s.cluster.host.link.efficiency;
    // Two micro-batches per rank, four blocks, out and back.
    const double copies = 2 * 4 * 2 * checkpoint / rate;
    const StepTime time = first_step(s);
    EXPECT_GT(time.exposed_communication.value, 0.7 * copies);
    EXPECT_LT(time.wall.value, 1.3 * copies + first_step(offload_scenario({})).wall.value);
}

TEST(OffloadTime, FasterIsNeverSlower) {
    const std::vector<std::function<void(NodeHost&, double)>> changes = {
        [](NodeHost& h, double f) { h.link.bandwidth.value *= f; },
        [](NodeHost& h, double f) { h.link.latency.value /= f; },
        [](NodeHost& h, double f) { h.memory_bandwidth.value *= f; },
        [](NodeHost& h, double f) { h.nvme_read.value *= f; },
        [](NodeHost& h, double f) { h.nvme_write.value *= f; }};
    for (const Offload& offload :
         {Offload{.optimizer = cpu}, Offload{.optimizer = cpu, .parameters = cpu},
          Offload{.optimizer = nvme, .parameters = nvme, .activations = nvme}})
        for (const auto& change : changes) {
            double last = 1e300;
            for (const double factor : {0.01, 0.1, 0.5, 1.0, 2.0, 10.0, 1000.0}) {
                Scenario s = offload_scenario(offload);
                change(s.cluster.host, factor);
                const double time = first_step(s).wall.value;
                EXPECT_LE(time, last * (1 + 1e-12)) << offload_text(offload) << ", " << factor;
                last = time;
            }
        }
}

// What the device waits longer for a slower host is waiting, not work.
TEST(OffloadTime, WaitingForTheHostIsTold) {
    Scenario s = offload_scenario({.optimizer = cpu});
    const StepTime fast = first_step(s);
    s.cluster.host.memory_bandwidth.value /= 10;
    const StepTime slow = first_step(s);
    EXPECT_GT(fast.host_wait.value, 0);
    EXPECT_LE(slow.host_wait, slow.compute + slow.optimizer);
    EXPECT_NEAR((slow.host_wait - fast.host_wait).value, (slow.wall - fast.wall).value,
                0.02 * slow.wall.value);
    EXPECT_EQ(first_step(offload_scenario({})).host_wait, Seconds(0));
}

TEST(OffloadTime, RanksOfANodeShareTheHost) {
    const Scenario s = offload_scenario({});
    const OffloadCost alone(s.cluster, 1), four(s.cluster, 4), many(s.cluster, 64);
    const Bytes bytes(1 << 30);
    EXPECT_DOUBLE_EQ(four.move(Stream::nvme_read, bytes).value,
                     4 * alone.move(Stream::nvme_read, bytes).value);
    EXPECT_EQ(many.move(Stream::nvme_write, bytes), four.move(Stream::nvme_write, bytes));
    EXPECT_EQ(four.move(Stream::to_host, bytes), alone.move(Stream::to_device, bytes));
}

}  // namespace
}  // namespace shardscope
