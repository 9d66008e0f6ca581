#include "simulator/collective_cost.h"

#include <cmath>

#include <gtest/gtest.h>

namespace shardscope {
namespace {

constexpr CollectiveKind kCollectiveKinds[] = {
    CollectiveKind::all_reduce, CollectiveKind::reduce_scatter, CollectiveKind::all_gather};

// Two tiers, as in a DGX H100: 450 GB/s inside, 50 GB/s per GPU outside.
Cluster two_tiers() {
    Cluster cluster;
    cluster.nodes = 128;
    cluster.gpus_per_node = 8;
    cluster.intra_node = {BytesPerSecond(450e9), Seconds(1e-6), 0.8, ""};
    cluster.inter_node = {BytesPerSecond(50e9), Seconds(5e-6), 0.9, ""};
    return cluster;
}

double collective_seconds(const Cluster& cluster, CollectiveKind kind, std::int64_t bytes, int size,
                          int stride = 1) {
    const GroupShape shape = shape_of(Group{"dp", size, stride}, Rank(0), cluster);
    return CollectiveCost(cluster).collective(kind, Bytes(bytes), shape).value;
}

TEST(CollectiveCost, ShapeOfGroups) {
    const Cluster cluster = two_tiers();
    const GroupShape all = shape_of(Group{"dp", 1024, 1}, Rank(5), cluster);
    EXPECT_EQ(all.nodes, 128);
    EXPECT_EQ(all.per_node, 8);
    const GroupShape strided = shape_of(Group{"dp", 16, 4}, Rank(3), cluster);
    EXPECT_EQ(strided.nodes, 8);
    EXPECT_EQ(strided.per_node, 2);
    const GroupShape straddling = shape_of(Group{"tp", 6, 1}, Rank(6), cluster);
    EXPECT_EQ(straddling.nodes, 2);
    EXPECT_EQ(straddling.per_node, 4);
}

TEST(CollectiveCost, RingOnOneNode) {
    const std::int64_t bytes = 1 << 30;
    const double expected = 2 * 7 / 8.0 * static_cast<double>(bytes) / (450e9 * 0.8) + 2 * 7 * 1e-6;
    EXPECT_NEAR(collective_seconds(two_tiers(), CollectiveKind::all_reduce, bytes, 8), expected,
                1e-9);
}

TEST(CollectiveCost, RingAcrossNodesIsBoundByTheNodesPorts) {
    const std::int64_t bytes = 1 << 30;
    const double size = static_cast<double>(bytes);
    const double latency = (16 - 2) * 1e-6 + 5e-6;
    EXPECT_NEAR(collective_seconds(two_tiers(), CollectiveKind::all_gather, bytes, 16),
                15 / 16.0 * size / std::min(450e9 * 0.8, 8 * 50e9 * 0.9) + latency, 1e-9);
    // One rank per node has one port.
    EXPECT_NEAR(collective_seconds(two_tiers(), CollectiveKind::all_gather, bytes, 2, 8),
                0.5 * size / (50e9 * 0.9) + 5e-6, 1e-9);
}

TEST(CollectiveCost, SmallMessagesScaleWithTheLogarithmOfTheRanks) {
    const double small = collective_seconds(two_tiers(), CollectiveKind::all_reduce, 8, 1024);
    EXPECT_NEAR(small, 2 * (3 * 1e-6 + 7 * 5e-6), 1e-7);
}

TEST(CollectiveCost, AllReduceIsReduceScatterAndAllGather) {
    for (const std::int64_t bytes : {1 << 10, 1 << 20, 1 << 28})
        EXPECT_NEAR(collective_seconds(two_tiers(), CollectiveKind::all_reduce, bytes, 64),
                    collective_seconds(two_tiers(), CollectiveKind::reduce_scatter, bytes, 64) +
                        collective_seconds(two_tiers(), CollectiveKind::all_gather, bytes, 64),
                    1e-12);
}

TEST(CollectiveCost, MoreBytesNeverFasterMoreBandwidthNeverSlower) {
    for (const CollectiveKind kind : kCollectiveKinds)
        for (const int size : {2, 8, 16, 1024}) {
            double last = 0;
            for (std::int64_t bytes = 1; bytes < (1ll << 32); bytes *= 2) {
                const double time = collective_seconds(two_tiers(), kind, bytes, size);
                EXPECT_GE(time, last);
                last = time;
                Cluster wide = two_tiers(), wider = two_tiers();
                wide.intra_node.bandwidth = BytesPerSecond(900e9);
                wider.inter_node.bandwidth = BytesPerSecond(100e9);
                EXPECT_LE(collective_seconds(wide, kind, bytes, size), time);
                EXPECT_LE(collective_seconds(wider, kind, bytes, size), time);
            }
        }
}

// Whatever the algorithm, what a node has to send takes its ports so long.
TEST(CollectiveCost, NoneIsFasterThanTheWire) {
    for (const LinkType inter : {LinkType::generic, LinkType::infiniband}) {
        Cluster cluster = two_tiers();
        cluster.inter_node.type = inter;
        if (inter != LinkType::generic) cluster.intra_node.type = LinkType::nvlink4;
        for (const CostKind kind : {CostKind::all_reduce, CostKind::reduce_scatter,
                                    CostKind::all_gather, CostKind::all_to_all})
            for (const int size : {2, 8, 16, 32, 128}) {
                const GroupShape shape = shape_of(Group{"dp", size, 1}, Rank(0), cluster);
                const Bytes bytes(std::int64_t{1} << 30);
                const CollectiveTime time = CollectiveCost(cluster).timed(kind, bytes, shape);
                const LinkTraffic traffic =
                    link_traffic(kind, *time.algorithm, static_cast<double>(bytes.value), shape);
                const double out = traffic.inter / shape.nodes / (8 * 50e9 * 0.9);
                EXPECT_GE(time.seconds.value, out)
                    << static_cast<int>(kind) << " of " << size << " ranks";
            }
    }
}

TEST(CollectiveCost, OneRankIsFree) {
    for (const CollectiveKind kind : kCollectiveKinds)
        EXPECT_EQ(collective_seconds(two_tiers(), kind, 1 << 20, 1), 0);
}

// Each transport has its own samples, on one host and across; one that was not measured is modelled from
// the links.
TEST(CollectiveCost, ProcessesUseTheSamplesOfTheirTransport) {
    Cluster cluster = two_tiers();
    cluster.nodes = 2;
    cluster.gpus_per_node = 2;
    const auto kind = CollectiveKind::all_reduce;
    cluster.device.calibration.collectives.push_back(
        {"all_reduce", 2, 1, Bytes(1 << 20), Seconds(1)});
    cluster.transport = "tcp";
    const double modelled = collective_seconds(cluster, kind, 1 << 20, 2);
    EXPECT_LT(modelled, 0.5) << "samples of threads are not tcp's";
    cluster.device.calibration.transports["tcp"].collectives = {
        {"all_reduce", 2, 1, Bytes(1 << 20), Seconds(2e-3)},
        {"all_reduce", 4, 2, Bytes(1 << 20), Seconds(7e-3)},
        {"transfer", 2, 1, Bytes(1 << 20), Seconds(3e-3)},
        {"transfer", 2, 2, Bytes(1 << 20), Seconds(5e-3)}};
    EXPECT_NEAR(collective_seconds(cluster, kind, 1 << 20, 2), 2e-3, 1e-12);
    EXPECT_NEAR(collective_seconds(cluster, kind, 1 << 20, 4), 7e-3, 1e-12);
    const CollectiveCost cost(cluster);
    EXPECT_NEAR(cost.transfer(Bytes(1 << 20), {}).value, 3e-3, 1e-12);
    EXPECT_NEAR(cost.transfer(Bytes(1 << 20), {.same_node = false}).value, 5e-3, 1e-12);
}

TEST(CollectiveCost, ThreadRanksUseTheMeasuredTimes) {
    Cluster cluster = two_tiers();
    cluster.nodes = 1;
    cluster.cores = 2;
    auto& samples = cluster.device.calibration.collectives;
    samples.push_back({"all_reduce", 2, 1, Bytes(1 << 10), Seconds(1e-5)});
    samples.push_back({"all_reduce", 2, 1, Bytes(1 << 20), Seconds(1e-3)});
    cluster.device.calibration.busy_slowdown = 1.25;  // both cores work in the samples already
    const auto kind = CollectiveKind::all_reduce;
    const double alone = 1 / 1.25;
    EXPECT_NEAR(collective_seconds(cluster, kind, 1 << 20, 2), 1e-3 * alone, 1e-12);
    EXPECT_NEAR(collective_seconds(cluster, kind, 1 << 15, 2), 1e-4 * alone, 1e-12)
        << "halfway in logarithms";
    EXPECT_NEAR(collective_seconds(cluster, kind, 1, 2), 1e-5 * alone, 1e-12) << "latency stays";
    EXPECT_NEAR(collective_seconds(cluster, kind, 1 << 21, 2), 2e-3 * alone, 1e-12);
    // Other rank counts: in proportion to 2(n−1)/n.
    EXPECT_NEAR(collective_seconds(cluster, kind, 1 << 20, 4), 1e-3 * alone * 1.5, 1e-12);
    // What was not measured falls back on the link.
    EXPECT_GT(collective_seconds(cluster, CollectiveKind::all_gather, 1 << 20, 2), 0);
}

}  // namespace
}  // namespace shardscope
