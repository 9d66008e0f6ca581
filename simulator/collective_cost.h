// How long one collective or transfer takes, alone. docs/cost-model.md derives the formulas.
//
// Links with a type are NCCL's (nccl_model.h). For the rest, with S bytes in the whole buffer, n ranks
// on N nodes, per-rank link bandwidth b and latency α:
//   bus bandwidth   B = b_intra on one node; across nodes at most what the ports of the node with
//                   fewest members give the group: the ring leaves a node once per link
//   ring            all_reduce 2(n−1)/n · S/B, others (n−1)/n · S/B, broadcast S/B
//                   (bus-bandwidth factors of nccl-tests, doc/PERFORMANCE.md), and per step one α:
//                   of the n−1 steps (all_reduce 2(n−1)) N−1 (2(N−1)) cross nodes
//   tree            the same bytes at kTreeBandwidth of B, and per level one α:
//                   ⌈log₂ p⌉ inside nodes, ⌈log₂ N⌉ between them (all_reduce twice)
//   time            the smaller of the two
//   dispatch        the larger of the bytes inside and across (link_traffic) over b of a device and of a node, and α
//                   of each
// Ranks on this machine use what `calibrate` measured of their transport (Cluster::transport) for the same
// kind, on one host or on several:
//   t(S, n) = t(S, n₀) · f(n)/f(n₀), n₀ the nearest measured rank count, f the ring factor above
#pragma once

#include <array>
#include <map>
#include <optional>

#include "core/cluster/cluster.h"
#include "core/program/instruction.h"
#include "simulator/core_sharing.h"
#include "simulator/interpolation.h"
#include "simulator/nccl_model.h"

namespace shardscope {

// Not of dispatch and combine, which are costed by their routing.
CostKind cost_kind(CollectiveKind kind);

struct CollectiveTime {
    Seconds seconds;
    std::optional<Algorithm> algorithm;  // nothing where the time was measured
};

// Immutable after construction; safe to share between threads.
class CollectiveCost {
public:
    explicit CollectiveCost(const Cluster& cluster);

    // On CPUs with shared cores: the seconds that each rank's thread works, to be stretched by
    // CoreSharing::rate() while more threads are active.
    CollectiveTime timed(CostKind kind, Bytes bytes, const GroupShape& shape) const;
    // All of its calls; the only way to what is routed (Collective::is_routed).
    CollectiveTime timed(const Collective& collective, const GroupShape& shape) const;
    Seconds collective(CostKind kind, Bytes bytes, const GroupShape& shape) const {
        return timed(kind, bytes, shape).seconds;
    }
    Seconds collective(CollectiveKind kind, Bytes bytes, const GroupShape& shape) const {
        return collective(cost_kind(kind), bytes, shape);
    }
    Seconds transfer(Bytes bytes, const TransferPath& path) const;
    bool measured_transfers(bool same_node) const { return !transfers_[same_node ? 0 : 1].empty(); }
    const NcclModel& links() const { return nccl_; }

private:
    double linear(CostKind kind, double bytes, const GroupShape& shape) const;
    double linear(const LinkTraffic& traffic, const GroupShape& shape) const;
    // Curves of seconds over bytes by number of ranks.
    using Curves = std::map<int, TimeCurve>;
    static double measured(const Curves& curves, CostKind kind, double bytes, int ranks);

    NcclModel nccl_;
    std::array<std::array<Curves, kCostKinds>, 2> curves_;  // [several hosts][kind]
    std::array<TimeCurve, 2> transfers_;                    // [several hosts]
    Link intra_, inter_;
    CoreSharing sharing_;
};

}  // namespace shardscope
