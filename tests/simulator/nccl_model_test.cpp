#include "simulator/nccl_model.h"

#include <cmath>
#include <map>
#include <random>

#include <gtest/gtest.h>

namespace shardscope {
namespace {

constexpr double kMicro = 1e-6, kKiB = 1024;
constexpr CostKind kEveryKind[] = {CostKind::all_reduce, CostKind::reduce_scatter,
                                   CostKind::all_gather, CostKind::all_to_all, CostKind::broadcast};

// 450 GB/s inside, 50 GB/s per GPU outside, all of it reached.
Cluster dgx(LinkType intra = LinkType::nvlink4, LinkType inter = LinkType::infiniband) {
    Cluster cluster;
    cluster.nodes = 128;
    cluster.gpus_per_node = 8;
    cluster.intra_node.bandwidth = BytesPerSecond(450e9);
    cluster.intra_node.type = intra;
    cluster.inter_node.bandwidth = BytesPerSecond(50e9);
    cluster.inter_node.type = inter;
    return cluster;
}

GroupShape group(const Cluster& cluster, int size, int stride = 1, int first = 0) {
    return shape_of(Group{"group", size, stride}, Rank(first), cluster);
}

// NCCL's own estimate: nothing fitted.
NcclModel tuner(const Cluster& cluster) {
    NcclGeneration bare = nccl_generation(cluster.intra_node.type);
    bare.start_up = 0;
    bare.ramp = {};
    return NcclModel(cluster, bare, {});
}

double nccl_seconds(const Cluster& cluster, CostKind kind, double bytes, const GroupShape& shape) {
    return NcclModel(cluster).collective(kind, bytes, shape).seconds;
}

TEST(NcclModel, RingOnOneNode) {
    const Cluster c = dgx();
    const auto ring = [&](CostKind kind, Protocol protocol) {
        return tuner(c).estimate(kind, Algorithm::ring, protocol, kMiB, group(c, 8))->seconds;
    };
    const double all = 2 * 7 / 8.0 * kMiB, half = 7 / 8.0 * kMiB;
    EXPECT_NEAR(ring(CostKind::all_reduce, Protocol::simple),
                (8.4 + 14 * 3.4) * kMicro + all / 450e9, 1e-12);
    EXPECT_NEAR(ring(CostKind::all_gather, Protocol::simple),
                (8.4 + 7 * 3.4) * kMicro + half / 450e9, 1e-12);
    EXPECT_NEAR(ring(CostKind::all_reduce, Protocol::ll128),
                (14.0 + 14 * 1.9) * kMicro + all / (0.92 * 450e9), 1e-12);
    EXPECT_NEAR(ring(CostKind::reduce_scatter, Protocol::ll),
                (6.6 + 7 * 0.6) * kMicro + half / 141e9, 1e-12)
        << "141 GB/s is below half of the bus";
}

TEST(NcclModel, RingAcrossNodesIsBoundByThePorts) {
    const Cluster c = dgx();
    const auto e = tuner(c).estimate(CostKind::all_gather, Algorithm::ring, Protocol::simple, kMiB,
                                     group(c, 16));
    // 14 of 15 steps inside, at least 3 us each for the host; one across.
    EXPECT_NEAR(e->seconds, (8.4 + 14 * 3.4 + 14) * kMicro + 15 / 16.0 * kMiB / 400e9, 1e-12);
    // One rank per node has one port, and a tree's latencies.
    const auto alone = tuner(c).estimate(CostKind::all_gather, Algorithm::ring, Protocol::ll, kMiB,
                                         group(c, 2, 8));
    EXPECT_NEAR(alone->seconds, (6.6 + 5.0) * kMicro + 0.5 * kMiB / 25e9, 1e-12);
}

TEST(NcclModel, TreeHasHalfOfTheBusAndBetweenTwoNodesAllOfThePorts) {
    const Cluster c = dgx();
    const auto tree = [&](int size) {
        return *tuner(c).estimate(CostKind::all_reduce, Algorithm::tree, Protocol::simple, kGiB,
                                  group(c, size));
    };
    // 0.9: the tuner's correction of large trees.
    EXPECT_NEAR(tree(8).rate, 0.9 * 0.92 * 450e9 / 2, 1);
    EXPECT_NEAR(tree(16).rate, 0.9 * 0.92 * std::min(450e9 / 2, 400e9), 1);
    EXPECT_NEAR(tree(64).rate, 0.9 * 36.0 / 40 * 400e9 / 2, 1) << "a channel's limit";
    // LL128 has limits of its own, of the same bus: 29 of 40 GB/s per channel, where 15/16 of the tree's are more.
    const auto ll128 = tuner(c).estimate(CostKind::all_reduce, Algorithm::tree, Protocol::ll128,
                                         kGiB, group(c, 64));
    EXPECT_NEAR(ll128->rate / tree_correction(Protocol::ll128, kGiB), 29.0 / 40 * 400e9 / 2, 1);
    EXPECT_NEAR(tree(64).latency, (8.4 + 2 * (7 * 4.0 + 3 * 14.0)) * kMicro, 1e-12);
}

TEST(NcclModel, LargeMessagesCostAFixedExcessAndSmallOnesASlope) {
    const Cluster c = dgx();
    NcclGeneration g = nccl_generation(LinkType::nvlink4);
    g.start_up = 5 * kMicro;
    g.ramp = {3, 1e6};
    const NcclModel model(c, g, {});
    const auto ring = [&](double bytes) {
        return model
            .estimate(CostKind::all_reduce, Algorithm::ring, Protocol::simple, bytes, group(c, 8))
            ->seconds;
    };
    const double latency = (5 + 8.4 + 14 * 3.4) * kMicro, rate = 450e9 / (2 * 7 / 8.0);
    EXPECT_NEAR(ring(1e13), latency + (1e13 + 3 * 8e6) / rate, 1e-8);
    EXPECT_NEAR(ring(100), latency + 100 * (1 + 3) / rate, 1e-13);
    EXPECT_NEAR(ring(8e6), latency + (8e6 + 3 * 8e6 / 2) / rate, 1e-12) << "half of the excess";
}

TEST(NcclModel, ChoosesAsNcclDoes) {
    const auto choice = [](const Cluster& c, CostKind kind, double bytes, const GroupShape& shape) {
        const Estimate e = NcclModel(c).collective(kind, bytes, shape);
        return std::string(algorithm_name(e.algorithm)) + "/" + protocol_name(e.protocol);
    };
    const auto reduce = CostKind::all_reduce;
    const Cluster h100 = dgx();
    EXPECT_EQ(choice(h100, reduce, kGiB, group(h100, 8)), "nvls/simple");
    EXPECT_EQ(choice(h100, reduce, kKiB, group(h100, 8)), "ring/ll");
    EXPECT_EQ(choice(h100, reduce, kGiB, group(h100, 2)), "ring/simple");
    EXPECT_EQ(choice(h100, reduce, kGiB, group(h100, 16)), "nvls-tree/simple");
    EXPECT_EQ(choice(h100, reduce, kKiB, group(h100, 1024)), "tree/ll");
    EXPECT_EQ(choice(h100, CostKind::all_gather, 64 * kGiB, group(h100, 1024)), "ring/simple");
    EXPECT_EQ(choice(h100, CostKind::all_gather, 16 * kMiB, group(h100, 128, 8)), "pat/simple");
    Cluster sharp = dgx();
    sharp.inter_node.in_network_reduction = true;
    EXPECT_EQ(choice(sharp, reduce, kGiB, group(sharp, 64)), "nvls/simple");
    Cluster a100 = dgx(LinkType::nvlink3);
    a100.intra_node.bandwidth = BytesPerSecond(300e9);
    EXPECT_EQ(choice(a100, reduce, kGiB, group(a100, 8)), "ring/simple");
    EXPECT_EQ(choice(a100, reduce, kKiB, group(a100, 16)), "tree/ll");
    Cluster pcie = dgx(LinkType::pcie4);
    pcie.intra_node.bandwidth = BytesPerSecond(32e9);
    for (double bytes = 1; bytes < kGiB; bytes *= 2)
        EXPECT_EQ(choice(pcie, reduce, bytes, group(pcie, 8)).find("ll128"), std::string::npos);
}

// Four ports for eight GPUs, as in the cluster that trained BLOOM.
TEST(NcclModel, GroupsShareTheNodesPorts) {
    Cluster c = dgx();
    c.inter_node.bandwidth = BytesPerSecond(12.5e9);
    c.inter_node.ports = 4;
    const NcclModel model(c);
    const auto rate = [&](GroupShape shape, int at_once) {
        shape.at_once = at_once;
        return model.node_rate(shape);
    };
    EXPECT_NEAR(rate(group(c, 32), 1), 50e9, 1);
    EXPECT_NEAR(rate(group(c, 16, 8), 1), 12.5e9, 1) << "one rank alone has the port beside it";
    EXPECT_NEAR(rate(group(c, 16, 8), 8), 6.25e9, 1) << "with tp8 two groups share each port";
    EXPECT_NEAR(rate(group(c, 16, 4), 4), 12.5e9, 1) << "with tp4 each has one";
    // Six ranks on two nodes: the node with two bounds them.
    EXPECT_NEAR(rate(group(c, 6, 1, 6), 1), 12.5e9, 1);
}

TEST(NcclModel, PairsOfAMeshHaveTheirOwnLinks) {
    Cluster c = dgx(LinkType::nvlink2);
    c.gpus_per_node = 4;
    c.intra_node.bandwidth = BytesPerSecond(150e9);
    c.intra_node.switched = false;
    const auto rate = [&](int size) {
        return tuner(c)
            .estimate(CostKind::broadcast, Algorithm::ring, Protocol::simple, kMiB, group(c, size))
            ->rate;
    };
    EXPECT_NEAR(rate(4), 150e9, 1);
    EXPECT_NEAR(rate(3), 100e9, 1);
    EXPECT_NEAR(rate(2), 50e9, 1);
}

TEST(NcclModel, OversubscribedLeavesSlowWhatCrossesThem) {
    Cluster c = dgx();
    c.inter_node.leaf_nodes = 4;
    c.inter_node.oversubscription = 2;
    const NcclModel model(c);
    EXPECT_NEAR(model.node_rate(group(c, 32)), 400e9, 1) << "on one leaf";
    EXPECT_NEAR(model.node_rate(group(c, 64)), 400e9, 1) << "one node in four sends to the other";
    EXPECT_NEAR(model.node_rate(group(c, 8, 32)), 25e9, 1) << "every node is on another leaf";
    // Of eight nodes on two leaves each sends 4 of 7 parts that leave it to the other leaf, of sixteen on four
    // 12 of 15, at half the rate.
    Cluster even = dgx();
    const double bytes = 64 * kGiB;
    for (const auto& [size, slower] :
         std::map<int, double>{{64, 2 * 4 / 7.0}, {128, 2 * 12 / 15.0}})
        EXPECT_NEAR(nccl_seconds(c, CostKind::all_to_all, bytes, group(c, size)) /
                        nccl_seconds(even, CostKind::all_to_all, bytes, group(even, size)),
                    slower, 0.01);
}

TEST(NcclModel, AllToAllIsBoundByTheSlowerOfBothLinks) {
    const Cluster c = dgx();
    const auto rate = [&](int size) {
        return tuner(c).collective(CostKind::all_to_all, kMiB, group(c, size)).rate;
    };
    EXPECT_NEAR(rate(8), 450e9 * 8 / 7, 1);
    EXPECT_NEAR(rate(32), 50e9 * 32 / 24, 1) << "24 of 32 parts leave the node";
}

// Walks the edges of the algorithms, for groups that lie evenly or straddle.
TEST(NcclModel, BytesOnTheLinksAreThoseThatRanksSend) {
    const Cluster c = dgx();
    struct Case {
        int size, stride, first;
    };
    for (const Case& test :
         {Case{8, 1, 0}, {16, 1, 0}, {6, 1, 6}, {16, 1, 4}, {16, 4, 3}, {4, 8, 1}}) {
        const Group g{"group", test.size, test.stride};
        const GroupShape shape = shape_of(g, Rank(test.first), c);
        const auto node = [&](int i) { return g.member(Rank(test.first), i).value / 8; };
        const double bytes = 1e6;
        const int n = test.size;
        LinkTraffic ring, all_to_all, tree;
        const auto send = [&](LinkTraffic& on, int from, int to, double sent) {
            (node(from) == node(to) ? on.intra : on.inter) += sent;
        };
        for (int i = 0; i < n; ++i) {
            send(ring, i, (i + 1) % n, 2 * bytes * (n - 1) / n);
            for (int j = 0; j < n; ++j)
                if (i != j) send(all_to_all, i, j, bytes / n);
            // Any tree: here a chain along the nodes. Up and down.
            if (i > 0) send(tree, i, i - 1, 2 * bytes);
        }
        const auto expect = [&](const LinkTraffic& walked, CostKind kind, Algorithm algorithm) {
            const LinkTraffic traffic = link_traffic(kind, algorithm, bytes, shape);
            EXPECT_NEAR(traffic.intra, walked.intra, 1e-3) << n << " by " << test.stride;
            EXPECT_NEAR(traffic.inter, walked.inter, 1e-3) << n << " by " << test.stride;
        };
        expect(ring, CostKind::all_reduce, Algorithm::ring);
        expect(all_to_all, CostKind::all_to_all, Algorithm::ring);
        expect(tree, CostKind::all_reduce, Algorithm::tree);
        EXPECT_NEAR(ring.intra + ring.inter, 2 * (n - 1) * bytes, 1e-3);
    }
}

TEST(NcclModel, MoreBytesNeverFasterMoreBandwidthNeverSlower) {
    const std::uint32_t seed = 20260;
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    constexpr LinkType kIntra[] = {LinkType::nvlink2, LinkType::nvlink3, LinkType::nvlink4,
                                   LinkType::nvlink5, LinkType::pcie4};
    constexpr LinkType kInter[] = {LinkType::infiniband, LinkType::efa, LinkType::ethernet};
    for (int round = 0; round < 3000; ++round) {
        const Cluster c = dgx(kIntra[random() % 5], kInter[random() % 3]);
        const CostKind kind = kEveryKind[random() % 5];
        const GroupShape shape = group(c, 2 << (random() % 6), 1 << (random() % 4));
        const double bytes = std::exp2(std::uniform_real_distribution<>(0, 36)(random));
        const double more = std::uniform_real_distribution<>(1, 1.5)(random);
        const double time = nccl_seconds(c, kind, bytes, shape), tiny = 1e-12 * time;
        EXPECT_GE(nccl_seconds(c, kind, bytes * more, shape), time - tiny)
            << bytes << " × " << more;
        Cluster wide = c, wider = c;
        wide.intra_node.bandwidth.value *= more;
        wider.inter_node.bandwidth.value *= more;
        EXPECT_LE(nccl_seconds(wide, kind, bytes, shape), time + tiny);
        EXPECT_LE(nccl_seconds(wider, kind, bytes, shape), time + tiny);
    }
}

TEST(NcclModel, MoreRanksAreNeverFasterForTheSameBytesPerRank) {
    for (const LinkType intra : {LinkType::nvlink2, LinkType::nvlink3, LinkType::nvlink4})
        for (const CostKind kind : kEveryKind)
            for (const int stride : {1, 8})
                for (double bytes = 1; bytes < 64 * kGiB; bytes *= 4) {
                    const Cluster c = dgx(intra);
                    double last = 0;
                    for (int size = 2; size <= 128; size *= 2) {
                        const bool shards =
                            kind == CostKind::all_gather || kind == CostKind::reduce_scatter;
                        const double whole = shards ? bytes * size : bytes;
                        const double time = nccl_seconds(c, kind, whole, group(c, size, stride));
                        EXPECT_GE(time, last * (1 - 1e-12))
                            << size << " by " << stride << ", " << bytes << " bytes, kind "
                            << static_cast<int>(kind);
                        last = time;
                    }
                }
}

TEST(NcclModel, TransfersTakeOnePortOrTheirShareOfIt) {
    Cluster c = dgx();
    const NcclModel model = tuner(c);
    EXPECT_NEAR(model.transfer(kGiB, {}).seconds, (8.4 + 3.4) * kMicro + kGiB / 450e9, 1e-12);
    const TransferPath out{.same_node = false, .at_once = 8};
    EXPECT_NEAR(model.transfer(kGiB, out).seconds, (8.4 + 14) * kMicro + kGiB / 50e9, 1e-12);
    Cluster shared = c;
    shared.inter_node.ports = 4;
    EXPECT_NEAR(tuner(shared).transfer(kGiB, out).seconds, (8.4 + 14) * kMicro + kGiB / 25e9,
                1e-12);
    // To another leaf, whose links have an eighth of the nodes' bandwidth: of four nodes all send, or one.
    c.inter_node.oversubscription = 8;
    for (const auto& [per_sender, rate] : std::map<double, double>{{1, 50e9 / 8}, {4, 50e9 / 2}}) {
        TransferPath away = out;
        away.nodes_per_sender = per_sender;
        EXPECT_NEAR(tuner(c).transfer(kGiB, away).seconds, (8.4 + 14) * kMicro + kGiB / rate,
                    1e-12);
    }
}

TEST(NcclModel, CoversLinksWithATypeAlone) {
    Cluster c = dgx(LinkType::nvlink4, LinkType::generic);
    EXPECT_TRUE(NcclModel(c).covers(group(c, 8)));
    EXPECT_FALSE(NcclModel(c).covers(group(c, 16)));
    EXPECT_FALSE(NcclModel(c).covers(group(c, 2, 8)));
}

}  // namespace
}  // namespace shardscope
