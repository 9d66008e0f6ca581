// How long one collective or transfer takes, alone. docs/cost-model.md derives the formulas.
//
// With S bytes in the whole buffer, n ranks on N nodes, per-rank link bandwidth b and latency α:
//   bus bandwidth   B = b_intra on one node; across nodes min(b_intra, p·b_inter), p = ranks of the
//                   group per node (1 rank per node: b_inter): the ring leaves a node once per link
//   ring            all_reduce 2(n−1)/n · S/B, reduce_scatter and all_gather (n−1)/n · S/B
//                   (bus-bandwidth factors of nccl-tests, doc/PERFORMANCE.md), and per step one α:
//                   of the n−1 steps (all_reduce 2(n−1)) N−1 (2(N−1)) cross nodes
//   tree            the same bytes at kTreeBandwidth of B, and per level one α:
//                   ⌈log₂(n/N)⌉ inside nodes, ⌈log₂ N⌉ between them (all_reduce twice)
//   time            the smaller of the two, as NCCL's tuner chooses (src/graph/tuning.cc)
// Ranks on this machine use what `calibrate` measured of their transport (Cluster::transport) for the same
// kind, on one host or on several:
//   t(S, n) = t(S, n₀) · f(n)/f(n₀), n₀ the nearest measured rank count, f the ring factor above
#pragma once

#include <array>
#include <map>

#include "core/cluster/cluster.h"
#include "core/program/instruction.h"
#include "core/program/program.h"
#include "simulator/core_sharing.h"
#include "simulator/interpolation.h"

namespace shardscope {

// Where the members of a group lie.
struct GroupShape {
    int size = 1;
    int nodes = 1;
    int per_node = 1;  // most members on one node
};
GroupShape shape_of(const Group& group, Rank member, const Cluster& cluster);

// Immutable after construction; safe to share between threads.
class CollectiveCost {
public:
    explicit CollectiveCost(const Cluster& cluster);

    // On CPUs with shared cores: the seconds that each rank's thread works, to be stretched by
    // CoreSharing::rate() while more threads are active.
    Seconds collective(CollectiveKind kind, Bytes bytes, const GroupShape& shape) const;
    Seconds transfer(Bytes bytes, bool same_node) const;

private:
    double modelled(CollectiveKind kind, double bytes, const GroupShape& shape) const;
    // Curves of seconds over bytes by number of ranks.
    using Curves = std::map<int, TimeCurve>;
    static double measured(const Curves& curves, CollectiveKind kind, double bytes, int ranks);

    std::array<std::array<Curves, 3>, 2> curves_;  // [several hosts][kind]
    std::array<TimeCurve, 2> transfers_;           // [several hosts]
    Link intra_, inter_;
    CoreSharing sharing_;
};

}  // namespace shardscope
