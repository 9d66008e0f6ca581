#include "simulator/nccl_model.h"

#include <algorithm>
#include <cmath>

namespace shardscope {
namespace {

constexpr std::size_t index_of(Protocol protocol) { return static_cast<std::size_t>(protocol); }
// Of a ByNodes.
std::size_t nodes_index(const GroupShape& shape) {
    return static_cast<std::size_t>(std::min(shape.nodes, 3) - 1);
}

// Shares of the bus bandwidth, tuning.cc: the flags of the low-latency protocol are half of its
// bytes, those of LL128 8 of 128; a tree is driven less evenly than a ring, and PAT less again.
constexpr double kLowLatency = 0.5, kLl128 = 0.92, kTree = 0.92, kPat = 0.75;
constexpr double kTreeLowLatency = 1 / 3.8, kTreeLl128Inside = 7.0 / 9, kTreeLl128 = 120.0 / 128;
// Host work per message across nodes on Intel CPUs, seconds; three times as much for Simple.
constexpr double kNetworkOverhead = 1e-6;
// Peers that one batch of point-to-point operations serves (NCCL_MAX_DEV_WORK_P2P_PER_BATCH).
constexpr double kPeersPerBatch = 8;

// Times the buffer that a ring's rank sends.
double ring_factor(CostKind kind, double ranks) {
    if (kind == CostKind::broadcast) return 1;
    return (kind == CostKind::all_reduce ? 2 : 1) * (ranks - 1) / ranks;
}

bool is_pcie(LinkType type) {
    return type == LinkType::pcie3 || type == LinkType::pcie4 || type == LinkType::pcie5;
}

}  // namespace

NcclModel::NcclModel(const Cluster& cluster)
    : NcclModel(cluster, nccl_generation(cluster.intra_node.type),
                nccl_network(cluster.inter_node.type)) {}

NcclModel::NcclModel(const Cluster& cluster, const NcclGeneration& generation,
                     const NcclNetwork& network)
    : intra_(cluster.intra_node),
      inter_(cluster.inter_node),
      gpus_per_node_(std::max(1, cluster.gpus_per_node)),
      generation_(generation),
      network_(network) {}

bool NcclModel::covers(const GroupShape& shape) const {
    const bool inside = shape.per_node == 1 || intra_.type != LinkType::generic;
    const bool across = shape.nodes == 1 || inter_.type != LinkType::generic;
    return inside && across;
}

double NcclModel::intra_bus(int ranks) const {
    const double bus = intra_.bandwidth.value * intra_.efficiency;
    if (intra_.switched || gpus_per_node_ < 3) return bus;
    // Every pair has links of its own, and a group uses those between its members.
    return bus * std::min(1.0, (ranks - 1) / (gpus_per_node_ - 1.0));
}

// A rank reaches the ports beside it, but at least one.
double NcclModel::reach(const GroupShape& shape) const {
    return std::min(ports(), std::max(1.0, shape.fewest * ports() / gpus_per_node_));
}

double NcclModel::node_rate(const GroupShape& shape) const {
    const double share = ports() / shape.at_once;
    return std::min(reach(shape), share) * inter_.bandwidth.value * inter_.efficiency *
           leaf_share(shape);
}

double NcclModel::node_bandwidth() const {
    return ports() * inter_.bandwidth.value * inter_.efficiency;
}

int NcclModel::channels(const GroupShape& shape) const {
    if (!covers(shape)) return 0;
    if (shape.nodes == 1) return generation_.channels;
    return std::min(generation_.channels, static_cast<int>(std::ceil(2 * reach(shape))));
}

// Of k neighbouring nodes on a leaf one sends to another leaf, over links that have 1 / oversubscription
// of the bandwidth of the nodes.
double NcclModel::leaf_share(const GroupShape& shape) const {
    return shape.leaf_nodes >= shape.nodes ? 1 : leaf_share(shape.leaf_nodes);
}

double NcclModel::leaf_share(double nodes_per_sender) const {
    return std::min(1.0, nodes_per_sender / inter_.oversubscription);
}

bool NcclModel::available(CostKind kind, Algorithm algorithm, Protocol protocol,
                          const GroupShape& shape) const {
    const bool reduce = kind == CostKind::all_reduce;
    const bool shards = kind == CostKind::all_gather || kind == CostKind::reduce_scatter;
    const bool across = shape.nodes > 1;
    const bool multicast = generation_.nvls > 0 && intra_.switched && shape.per_node > 1 &&
                           (intra_.type == LinkType::nvlink4 || intra_.type == LinkType::nvlink5);
    if (protocol == Protocol::ll128 && is_pcie(intra_.type) && shape.per_node > 1) return false;
    switch (algorithm) {
        case Algorithm::ring:
            return kind != CostKind::all_to_all;
        case Algorithm::tree:
            return reduce;
        default:
            break;
    }
    if (protocol != Protocol::simple) return false;
    switch (algorithm) {
        case Algorithm::nvls:
            return multicast && (across ? reduce && inter_.in_network_reduction : reduce || shards);
        case Algorithm::nvls_tree:
            return multicast && across && reduce;
        case Algorithm::collnet_direct:
        case Algorithm::collnet_chain:
            return across && reduce && inter_.in_network_reduction;
        case Algorithm::pat:
            return across && shape.per_node == 1 && shards;
        default:
            return false;
    }
}

double NcclModel::ring_rate(CostKind kind, Protocol protocol, const GroupShape& shape) const {
    double bus = shape.per_node > 1 ? intra_bus(shape.per_node) : node_rate(shape);
    if (shape.nodes > 1) bus = std::min(bus, node_rate(shape));
    const std::size_t nodes = nodes_index(shape);
    if (protocol == Protocol::ll) bus = std::min(kLowLatency * bus, generation_.ll_limit[nodes]);
    if (protocol == Protocol::ll128) bus *= std::min(kLl128, generation_.ring_ll128[nodes]);
    return bus / ring_factor(kind, shape.size);
}

// A tree's rank sends the buffer up and down: half of the bus for the buffer. Between two nodes one
// direction each suffices, as the two trees have their roots on different nodes.
double NcclModel::tree_rate(Protocol protocol, const GroupShape& shape) const {
    const double inside = intra_bus(shape.per_node);
    const double across = node_rate(shape) * (shape.nodes == 2 ? 2 : 1);
    double bus = shape.per_node > 1 ? inside : across;
    if (shape.nodes > 1) bus = std::min(bus, across);
    const std::size_t nodes = nodes_index(shape);
    const double whole = bus;  // limits of channels are shares of it
    bus *= std::min(kTree, generation_.tree[nodes]);
    if (protocol == Protocol::ll)
        bus = std::min(bus * kTreeLowLatency, generation_.ll_limit[nodes]);
    if (protocol == Protocol::ll128)
        bus = std::min(bus * (shape.nodes == 1 ? kTreeLl128Inside : kTreeLl128),
                       whole * generation_.tree_ll128[nodes]);
    return bus / 2;
}

double NcclModel::rate(CostKind kind, Algorithm algorithm, Protocol protocol,
                       const GroupShape& shape) const {
    const double multicast = generation_.nvls * intra_.bandwidth.value;
    const double inside = shape.per_node > 1 ? intra_bus(shape.per_node) / 2 : node_rate(shape);
    const double across = node_rate(shape);
    switch (algorithm) {
        case Algorithm::ring:
            return ring_rate(kind, protocol, shape);
        case Algorithm::tree:
            return tree_rate(protocol, shape);
        case Algorithm::nvls:
            return shape.nodes > 1 ? std::min(multicast, across) : multicast;
        case Algorithm::nvls_tree:
            return std::min(multicast, shape.nodes == 2 ? across : across / 2);
        case Algorithm::collnet_direct:
        case Algorithm::collnet_chain:
            return std::min(inside, across);
        case Algorithm::pat:
            return kPat * ring_rate(kind, protocol, shape);
    }
    return 0;
}

double NcclModel::hop(bool inter, Algorithm algorithm, Protocol protocol,
                      const GroupShape& shape) const {
    const std::size_t p = index_of(protocol);
    if (!inter) {
        const Hop link = is_pcie(intra_.type) ? Hop::pcie : Hop::nvlink;
        return hop_latency(link, algorithm)[p] + intra_.latency.value;
    }
    // A ring of one rank per node is a chain of the tree's messages.
    const bool alone = shape.per_node == 1 && algorithm == Algorithm::ring;
    const double wire = inter_.latency.value * (protocol == Protocol::simple ? 2 : 1);
    return hop_latency(Hop::network, alone ? Algorithm::tree : algorithm)[p] + wire;
}

double NcclModel::latency(CostKind kind, Algorithm algorithm, Protocol protocol,
                          const GroupShape& shape) const {
    const double intra = hop(false, algorithm, protocol, shape);
    const double inter = hop(true, algorithm, protocol, shape);
    const double rounds = kind == CostKind::all_reduce ? 2 : 1;
    const double inside = shape.per_node - 1.0, depth = std::log2(shape.nodes);
    const double base = base_latency(algorithm)[index_of(protocol)];
    const bool across = shape.nodes > 1, simple = protocol == Protocol::simple;
    switch (algorithm) {
        case Algorithm::ring: {
            const double overhead = across ? kNetworkOverhead * (simple ? 3 : 1) : 0;
            const double hops = rounds * ((shape.size - shape.nodes) * std::max(intra, overhead) +
                                          (shape.nodes - 1) * inter);
            const bool slower = across && simple && kind == CostKind::all_reduce;
            return (base + hops) * (slower ? generation_.ring_latency : 1);
        }
        case Algorithm::tree:
            return base + 2 * (inside * intra + depth * inter);
        case Algorithm::nvls:
            return intra + (across ? inter : 0);
        case Algorithm::nvls_tree:
            return intra + 2 * depth * inter;
        case Algorithm::collnet_direct:
            return 2 * (std::min(1.0, inside) * intra + inside * 0.4e-6) + inter;
        case Algorithm::collnet_chain:
            return 2 * inside * intra + inter;
        case Algorithm::pat:
            return base + depth * inter / 3.5 + 2.8e-6 * shape.size;
    }
    return 0;
}

const Ramp& NcclModel::ramp(bool across) const {
    return across && network_.own_ramp ? network_.ramp : generation_.ramp;
}

double NcclModel::start_up(bool across) const {
    return generation_.start_up + (across ? network_.start_up : 0);
}

// Seconds, from latency and rate. The low-latency protocol has no chunks that grow; LL128's inside a
// node stay in its small buffers as well.
void NcclModel::finish(Estimate& e, double bytes, double ranks, bool across) const {
    const Ramp& growing = ramp(across);
    const bool ramps = e.protocol == Protocol::simple || (e.protocol == Protocol::ll128 && across);
    const double half = growing.bytes_per_rank * ranks;
    double moved = bytes;
    if (ramps && half > 0) moved += growing.excess * half * bytes / (bytes + half);
    e.seconds = e.latency + moved / e.rate;
}

std::optional<Estimate> NcclModel::estimate(CostKind kind, Algorithm algorithm, Protocol protocol,
                                            double bytes, const GroupShape& shape) const {
    if (!available(kind, algorithm, protocol, shape)) return std::nullopt;
    const bool across = shape.nodes > 1;
    Estimate e{algorithm, protocol};
    e.latency = start_up(across) + latency(kind, algorithm, protocol, shape);
    e.rate = rate(kind, algorithm, protocol, shape);
    if (algorithm == Algorithm::tree) e.rate *= tree_correction(protocol, bytes);
    finish(e, bytes, shape.size, across);
    return e;
}

// Seconds per byte of a rank's for what leaves nodes, `share` of it, from the node with fewest ranks.
double NcclModel::outside(double share, const GroupShape& shape) const {
    if (shape.nodes == 1) return 0;
    // Of what leaves a node, this part leaves the leaf too, through its links alone.
    const double leaf = static_cast<double>(shape.nodes - shape.leaf_nodes) / (shape.nodes - 1);
    const double slower = std::max(1.0, inter_.oversubscription * leaf);
    return slower * shape.fewest * share * leaf_share(shape) / node_rate(shape);
}

Estimate NcclModel::all_to_all(double bytes, const GroupShape& shape) const {
    const bool across = shape.nodes > 1;
    const double n = shape.size, p = shape.per_node;
    const double inside = (p - 1) / n / intra_bus(shape.per_node);
    Estimate e;
    const double message = hop(across, Algorithm::ring, e.protocol, shape);
    e.latency = start_up(across) + base_latency(e.algorithm)[index_of(e.protocol)] +
                std::ceil((n - 1) / kPeersPerBatch) * message;
    e.rate = 1 / std::max(p > 1 ? inside : 0, outside((n - shape.fewest) / n, shape));
    finish(e, bytes, n, across);
    return e;
}

// Latencies and ramps are those of NCCL on the links, a hop across and one inside: assumptions, as nothing published
// separates them from DeepEP's bandwidth.
Estimate NcclModel::exchange(const TokenRouting& routing, double bytes,
                             const GroupShape& shape) const {
    const bool across = shape.nodes > 1, inside = shape.per_node > 1;
    const double n = shape.size;
    const LinkTraffic copies = link_traffic(routing, 1 / n, shape);
    Estimate slowest;
    slowest.latency =
        start_up(across) + base_latency(slowest.algorithm)[index_of(slowest.protocol)];
    if (across) slowest.latency += hop(true, slowest.algorithm, slowest.protocol, shape);
    if (inside) slowest.latency += hop(false, slowest.algorithm, slowest.protocol, shape);
    slowest.seconds = slowest.latency;
    const auto add = [&](double share, double seconds_per_byte, bool network) {
        if (!(share > 0)) return;
        Estimate e = slowest;
        e.rate = 1 / seconds_per_byte;
        finish(e, share * bytes, n, network);
        e.rate /= share;
        if (e.seconds > slowest.seconds) slowest = e;
    };
    if (inside) add(copies.intra, 1 / intra_bus(shape.per_node), false);
    if (across) add(copies.inter, outside(1, shape), true);
    return slowest;
}

Estimate NcclModel::collective(CostKind kind, double bytes, const GroupShape& shape) const {
    if (kind == CostKind::all_to_all) return all_to_all(bytes, shape);
    Estimate best;
    best.seconds = -1;
    for (std::size_t a = 0; a < kAlgorithms; ++a)
        for (std::size_t p = 0; p < kProtocols; ++p) {
            const auto e =
                estimate(kind, static_cast<Algorithm>(a), static_cast<Protocol>(p), bytes, shape);
            if (e && (best.seconds < 0 || e->seconds < best.seconds)) best = *e;
        }
    return best;
}

GroupShape TransferPath::pair() const {
    const int per_node = same_node ? 2 : 1;
    const int nodes = same_node ? 1 : 2;
    return {2, nodes, per_node, per_node, at_once, nodes, same_node ? 2 : 0};
}

double NcclModel::rate_across(const TransferPath& path) const {
    const double leaf = path.nodes_per_sender ? leaf_share(*path.nodes_per_sender) : 1;
    return node_rate(path.pair()) * leaf;
}

Estimate NcclModel::transfer(double bytes, const TransferPath& path) const {
    const GroupShape both = path.pair();
    const bool same_node = path.same_node;
    const double full = same_node ? intra_bus(2) : rate_across(path);
    Estimate best;
    best.seconds = -1;
    for (const Protocol protocol : {Protocol::ll, Protocol::simple}) {
        Estimate e{Algorithm::ring, protocol};
        e.latency = start_up(!same_node) + base_latency(e.algorithm)[index_of(protocol)] +
                    hop(!same_node, e.algorithm, protocol, both);
        e.rate = full;
        if (protocol == Protocol::ll)
            e.rate = std::min(kLowLatency * full, generation_.ll_limit[nodes_index(both)]);
        finish(e, bytes, 2, !same_node);
        if (best.seconds < 0 || e.seconds < best.seconds) best = e;
    }
    return best;
}

LinkTraffic link_traffic(CostKind kind, Algorithm algorithm, double bytes,
                         const GroupShape& shape) {
    const double n = shape.size, nodes = shape.nodes;
    const double rounds = kind == CostKind::all_reduce ? 2 : 1;
    const double inside = static_cast<double>(shape.pairs_inside);
    if (kind == CostKind::all_to_all)
        return {inside * bytes / n, (n * (n - 1) - inside) * bytes / n};
    switch (algorithm) {
        case Algorithm::ring:
        case Algorithm::pat: {
            // A ring has n edges, one of which a broadcast leaves out.
            const double edge = rounds * (n - 1) / n * bytes, out = nodes > 1 ? nodes : 0;
            return {(n - out) * edge, out * edge};
        }
        case Algorithm::tree:
            return {rounds * (n - nodes) * bytes, rounds * (nodes - 1) * bytes};
        case Algorithm::nvls:
        case Algorithm::nvls_tree: {
            // The switch adds what all have, and hands out what one sends.
            const double up = kind == CostKind::all_gather ? 0 : n;
            const double down = kind == CostKind::reduce_scatter ? 0 : nodes;
            const double trees = algorithm == Algorithm::nvls ? nodes : 2 * (nodes - 1);
            return {(up + down) * bytes, nodes > 1 ? trees * bytes : 0};
        }
        case Algorithm::collnet_direct:
        case Algorithm::collnet_chain:
            return {2 * (n - nodes) * bytes, nodes * bytes};
    }
    return {};
}

namespace {

// Of the ranks that divide the experts, `copies` neighbours have the same ones.
std::int64_t expert_ranks(const TokenRouting& routing, const GroupShape& shape) {
    return std::max(1, shape.size / routing.copies);
}

}  // namespace

LinkTraffic link_traffic(const TokenRouting& routing, double bytes, const GroupShape& shape) {
    const double n = shape.size, nodes = shape.nodes;
    const std::int64_t ranks = expert_ranks(routing, shape);
    const std::int64_t parts = std::min<std::int64_t>(ranks, shape.nodes);
    return {n * bytes * (n - nodes) * routing.reach(ranks),
            nodes > 1 ? n * bytes * (nodes - 1) * routing.reach(parts) : 0};
}

}  // namespace shardscope
