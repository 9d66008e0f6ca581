// ZeRO++ under the clock: on slow networks it pays, and a faster network is never slower.
#include <gtest/gtest.h>

#include "core/cluster/cluster_source.h"
#include "simulator/event_runner.h"
#include "tests/simulator/first_strategy.h"

namespace shardscope {
namespace {

using test::first_step;

Scenario zero_plus_plus_scenario(bool plus_plus, double link_factor) {
    Scenario s;
    LlamaSpec spec;
    spec.layers = 4;
    spec.hidden = 2048;
    spec.heads = 16;
    spec.kv_heads = 16;
    spec.ffn = 4096;
    spec.vocab = 1024;
    spec.seq = 1024;
    s.model = {"llama", spec};
    s.training.global_batch = 32;
    s.training.micro_batch = 1;
    s.training.precision = DType::bf16;
    s.cluster = catalogue_cluster("h100-sxm");
    s.cluster.nodes = 4;
    s.cluster.inter_node.bandwidth.value *= link_factor;
    Strategy strategy;
    strategy.name = "zero-3";
    strategy.zero = 3;
    strategy.quantized_weights = strategy.quantized_gradients = plus_plus;
    strategy.secondary_shard = plus_plus ? Strategy::kWholeNode : 0;
    s.strategies.push_back(strategy);
    return s;
}

// Four times fewer bytes between nodes; all-to-alls and scales take their part.
TEST(ZeroPlusPlusTime, PaysOnSlowNetworks) {
    const double plain = first_step(zero_plus_plus_scenario(false, 0.01)).wall.value,
                 plus = first_step(zero_plus_plus_scenario(true, 0.01)).wall.value;
    EXPECT_LT(plus, plain / 2.5);
    EXPECT_GT(plus, plain / 6);
}

TEST(ZeroPlusPlusTime, MoreBandwidthIsNeverSlower) {
    double last = 1e300;
    for (const double factor : {0.01, 0.1, 0.5, 1.0, 2.0, 100.0}) {
        const double time = first_step(zero_plus_plus_scenario(true, factor)).wall.value;
        EXPECT_LE(time, last * (1 + 1e-12)) << factor;
        last = time;
    }
}

}  // namespace
}  // namespace shardscope
