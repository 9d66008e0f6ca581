// Context parallelism under the clock: what goes round is hidden by attention while links are fast, and is
// all that counts when they are slow.
#include <gtest/gtest.h>

#include "core/cluster/cluster_source.h"
#include "simulator/event_runner.h"
#include "tests/simulator/first_strategy.h"

namespace shardscope {
namespace {

using test::first_step;

constexpr int kDegree = 8;
constexpr std::int64_t kSeq = 65536, kContextHidden = 2048, kHeads = 16, kKvHeads = 4, kLayers = 2;

Scenario context_scenario(ContextKind kind, double link_factor = 1) {
    Scenario s;
    LlamaSpec spec;
    spec.layers = kLayers;
    spec.hidden = kContextHidden;
    spec.heads = kHeads;
    spec.kv_heads = kind == ContextKind::ulysses ? kHeads : kKvHeads;
    spec.ffn = 4096;
    spec.vocab = 1024;
    spec.seq = kSeq;
    s.model = {"llama", spec};
    s.training.global_batch = s.training.micro_batch = 1;
    s.training.precision = DType::bf16;
    s.cluster = catalogue_cluster("h100-sxm");
    s.cluster.gpus_per_node = kDegree;
    s.cluster.intra_node.bandwidth.value *= link_factor;
    Strategy strategy;
    strategy.name = "long";
    strategy.cp = kDegree;
    strategy.cp_kind = kind;
    s.strategies.push_back(strategy);
    return s;
}

TEST(ContextParallelTime, TheRingHidesBehindAttention) {
    const StepTime fast = first_step(context_scenario(ContextKind::ring));
    EXPECT_LT(fast.exposed_communication.value, 0.1 * fast.wall.value);
    // A thousandth of the bandwidth: every pass on takes longer than the attention beside it. Forward, keys
    // and values leave cp − 1 times; backward, they and their gradients do.
    const Scenario slow = context_scenario(ContextKind::ring, 1e-3);
    const double kv = 2.0 * 2 * kKvHeads * (kContextHidden / kHeads) * kSeq / kDegree;
    const double rate = slow.cluster.intra_node.bandwidth.value;
    EXPECT_GT(first_step(slow).exposed_communication.value,
              0.9 * kLayers * 3 * (kDegree - 1) * kv / rate - fast.wall.value);
}

TEST(ContextParallelTime, MoreBandwidthIsNeverSlower) {
    for (const ContextKind kind :
         {ContextKind::ring, ContextKind::all_gather, ContextKind::ulysses}) {
        double last = 1e300;
        for (const double factor : {1e-3, 0.1, 0.5, 1.0, 2.0, 100.0}) {
            const double wall = first_step(context_scenario(kind, factor)).wall.value;
            EXPECT_LE(wall, last) << name_of(kind) << " factor " << factor;
            last = wall;
        }
    }
}

}  // namespace
}  // namespace shardscope
