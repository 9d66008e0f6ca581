// How long NCCL takes for a collective or transfer that runs alone, and by which algorithm.
//
// NCCL's tuner (src/graph/tuning.cc, v2.28.9) estimates latency + bytes / bandwidth for every
// algorithm and protocol and takes the smallest. So does this model, with the tuner's latencies and
// limits (nccl_constants.h), but
//   bandwidth   from the cluster's links rather than from a search over channels:
//               bus = b·η inside a node; across nodes at most what the node's ports give the group
//   seconds     the estimate, plus a start-up, with the bandwidth's ramp (Ramp), both fitted
// The choice is by these seconds. docs/cost-model.md has the formulas.
#pragma once

#include <cstdint>
#include <optional>

#include "core/model/token_routing.h"
#include "core/program/group_shape.h"
#include "simulator/nccl_constants.h"

namespace shardscope {

// Collectives that can be costed; all_to_all as in Ulysses and expert parallelism.
//   all_reduce, reduce_scatter, all_gather, broadcast   bytes of the whole buffer
//   all_to_all                                          bytes that one rank holds, its own included
enum class CostKind : std::uint8_t {
    all_reduce,
    reduce_scatter,
    all_gather,
    all_to_all,
    broadcast,
};
constexpr std::size_t kCostKinds = 5;

// What all ranks of a group together send.
struct LinkTraffic {
    double intra = 0;  // bytes over links inside nodes
    double inter = 0;  // bytes out of nodes
};

struct Estimate {
    Algorithm algorithm = Algorithm::ring;
    Protocol protocol = Protocol::simple;
    double latency = 0;  // seconds until large messages flow
    double rate = 0;     // bytes/s of the buffer, for large messages
    double seconds = 0;
};

// One rank sends to another.
struct TransferPath {
    bool same_node = true;
    int at_once = 1;  // ranks of the node that send out of it at the same time
    // Where it goes to another leaf switch: nodes of the sender's leaf for each of them that does so at the same time.
    std::optional<double> nodes_per_sender = std::nullopt;
    GroupShape pair() const;
};

// Immutable; safe to share between threads.
class NcclModel {
public:
    NcclModel(const Cluster& cluster, const NcclGeneration& generation, const NcclNetwork& network);
    explicit NcclModel(const Cluster& cluster);

    // Whether NCCL's constants apply to the links that the group uses.
    bool covers(const GroupShape& shape) const;

    // At least two ranks.
    Estimate collective(CostKind kind, double bytes, const GroupShape& shape) const;
    // One algorithm and protocol; nothing where NCCL has it not for this kind and group.
    std::optional<Estimate> estimate(CostKind kind, Algorithm algorithm, Protocol protocol,
                                     double bytes, const GroupShape& shape) const;
    // DeepEP's kernels, where the network and NVLink work at the same time and the slower one counts. `bytes`: of one
    // copy of a rank's rows.
    Estimate exchange(const TokenRouting& routing, double bytes, const GroupShape& shape) const;
    Estimate transfer(double bytes, const TransferPath& path) const;
    // Bytes/s of one transfer of those that leave a node.
    double rate_across(const TransferPath& path) const;

    // Bytes/s that the ports of the node with fewest members give the group, each direction.
    double node_rate(const GroupShape& shape) const;
    // Of all ports of a node, and of one device inside it.
    double node_bandwidth() const;
    double device_bandwidth() const { return intra_.bandwidth.value * intra_.efficiency; }
    // Multiprocessors that a collective of the group takes on each GPU, two per port across nodes;
    // none where covers() says no.
    int channels(const GroupShape& shape) const;

private:
    bool available(CostKind kind, Algorithm algorithm, Protocol protocol,
                   const GroupShape& shape) const;
    double intra_bus(int ranks) const;
    double leaf_share(const GroupShape& shape) const;
    double leaf_share(double nodes_per_sender) const;
    double ports() const { return inter_.ports > 0 ? inter_.ports : gpus_per_node_; }
    double reach(const GroupShape& shape) const;
    double ring_rate(CostKind kind, Protocol protocol, const GroupShape& shape) const;
    double tree_rate(Protocol protocol, const GroupShape& shape) const;
    double rate(CostKind kind, Algorithm algorithm, Protocol protocol,
                const GroupShape& shape) const;
    double latency(CostKind kind, Algorithm algorithm, Protocol protocol,
                   const GroupShape& shape) const;
    Estimate all_to_all(double bytes, const GroupShape& shape) const;
    double outside(double share, const GroupShape& shape) const;
    void finish(Estimate& estimate, double bytes, double ranks, bool across) const;
    double hop(bool inter, Algorithm algorithm, Protocol protocol, const GroupShape& shape) const;
    const Ramp& ramp(bool across) const;
    double start_up(bool across) const;

    Link intra_, inter_;
    int gpus_per_node_;
    NcclGeneration generation_;
    NcclNetwork network_;
};

// Bytes on the links by one algorithm. What all ranks of a group send sums to it.
LinkTraffic link_traffic(CostKind kind, Algorithm algorithm, double bytes, const GroupShape& shape);

// Of a dispatch or a combine, `bytes` being one copy of a rank's rows. A group of n ranks on N nodes that lies alike on
// each: a row crosses to each of the N − 1 other nodes that has one of its experts, to the rank in its own
// place there, and goes on to every rank with one but that and, of course, its own:
//     inter   n·bytes·(N − 1)·P(1/N of the experts)
//     intra   n·bytes·(n − N)·P(a rank's experts)
LinkTraffic link_traffic(const TokenRouting& routing, double bytes, const GroupShape& shape);

// Multiprocessors of DeepEP's kernels (Buffer.num_sms, deep_ep/buffer.py; DeepSeek-V3's report, section 3.2.2).
constexpr int kDeepEpMultiprocessors = 20;

}  // namespace shardscope
