#include "simulator/collective_cost.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <span>
#include <stdexcept>
#include <string_view>

namespace shardscope {
namespace {

// Trees move the same bytes less evenly; NCCL's tuner takes 0.5 … 0.9 of the ring.
constexpr double kTreeBandwidth = 0.7;

std::size_t index_of(CostKind kind) { return static_cast<std::size_t>(kind); }

// An all-reduce is a reduce-scatter and an all-gather.
double rounds(CostKind kind) { return kind == CostKind::all_reduce ? 2 : 1; }

double bus_factor(CostKind kind, int ranks) {
    if (kind == CostKind::broadcast) return 1;
    return rounds(kind) * (ranks - 1) / static_cast<double>(ranks);
}

double levels(int ranks) {
    return static_cast<double>(std::bit_width(static_cast<unsigned>(std::max(ranks, 1) - 1)));
}

constexpr std::string_view kTransferSample = "transfer";
constexpr std::array kMeasuredKinds{CollectiveKind::all_reduce, CollectiveKind::reduce_scatter,
                                    CollectiveKind::all_gather};

// What was measured of the cluster's transport; nothing where that was not.
std::span<const CollectiveSample> samples_of(const Cluster& cluster) {
    const Calibration& calibration = cluster.device.calibration;
    if (cluster.transport == "threads") return calibration.collectives;
    const auto found = calibration.transports.find(cluster.transport);
    if (found == calibration.transports.end()) return {};
    return found->second.collectives;
}

double bandwidth(const Link& link) { return link.bandwidth.value * link.efficiency; }

}  // namespace

CostKind cost_kind(CollectiveKind kind) {
    switch (kind) {
        case CollectiveKind::all_reduce:
            return CostKind::all_reduce;
        case CollectiveKind::reduce_scatter:
            return CostKind::reduce_scatter;
        case CollectiveKind::all_gather:
            return CostKind::all_gather;
        case CollectiveKind::all_to_all:
            return CostKind::all_to_all;
        case CollectiveKind::dispatch:
        case CollectiveKind::combine:
            break;
    }
    throw std::logic_error("a dispatch is costed by its routing");
}

CollectiveCost::CollectiveCost(const Cluster& cluster)
    : nccl_(cluster),
      intra_(cluster.intra_node),
      inter_(cluster.inter_node),
      sharing_(CoreSharing::of(cluster)) {
    using Points = std::vector<TimeCurve::Point>;
    std::array<std::array<std::map<int, Points>, kCostKinds>, 2> points;
    std::array<Points, 2> transfers;
    for (const CollectiveSample& sample : samples_of(cluster)) {
        const std::size_t across = sample.hosts > 1 ? 1 : 0;
        // The samples already share each host's cores among its ranks; keep one thread's work.
        const double alone = sharing_.rate(sample.ranks / std::max(1, sample.hosts));
        const TimeCurve::Point point{static_cast<double>(sample.bytes.value),
                                     sample.time.value * alone};
        if (sample.kind == kTransferSample) transfers[across].push_back(point);
        for (const CollectiveKind kind : kMeasuredKinds)
            if (sample.kind == collective_name(kind) && sample.ranks > 1)
                points[across][index_of(cost_kind(kind))][sample.ranks].push_back(point);
    }
    for (std::size_t across = 0; across < points.size(); ++across) {
        transfers_[across] = TimeCurve(std::move(transfers[across]));
        for (std::size_t kind = 0; kind < points[across].size(); ++kind)
            for (auto& [ranks, list] : points[across][kind])
                curves_[across][kind].emplace(ranks, TimeCurve(std::move(list)));
    }
}

CollectiveTime CollectiveCost::timed(CostKind kind, Bytes bytes, const GroupShape& shape) const {
    if (shape.size <= 1) return {Seconds(0), std::nullopt};
    const double size = static_cast<double>(bytes.value);
    const Curves& curves = curves_[shape.nodes > 1 ? 1 : 0][index_of(kind)];
    if (!curves.empty()) return {Seconds(measured(curves, kind, size, shape.size)), std::nullopt};
    if (!nccl_.covers(shape)) return {Seconds(linear(kind, size, shape)), Algorithm::ring};
    const Estimate estimate = nccl_.collective(kind, size, shape);
    return {Seconds(estimate.seconds), estimate.algorithm};
}

CollectiveTime CollectiveCost::timed(const Collective& c, const GroupShape& shape) const {
    if (!c.is_routed()) {
        CollectiveTime time = timed(cost_kind(c.kind), Bytes(c.bytes().value / c.calls), shape);
        time.seconds = time.seconds * c.calls;
        return time;
    }
    if (shape.size <= 1) return {Seconds(0), std::nullopt};
    const double size = static_cast<double>(c.bytes().value);
    if (!nccl_.covers(shape))
        return {Seconds(linear(link_traffic(c.routing, size, shape), shape)), Algorithm::ring};
    const Estimate estimate = nccl_.exchange(c.routing, size, shape);
    return {Seconds(estimate.seconds), estimate.algorithm};
}

// Each rank sends to many others at once: both links work at the same time, and the slower one counts.
double CollectiveCost::linear(const LinkTraffic& traffic, const GroupShape& shape) const {
    double latency = 0, inside = 0, across = 0;
    if (shape.per_node > 1) {
        latency += intra_.latency.value;
        inside = traffic.intra / shape.size / bandwidth(intra_);
    }
    if (shape.nodes > 1) {
        latency += inter_.latency.value;
        across = traffic.inter / shape.nodes / nccl_.node_rate(shape);
    }
    return latency + std::max(inside, across);
}

double CollectiveCost::linear(CostKind kind, double bytes, const GroupShape& shape) const {
    if (kind == CostKind::all_to_all)
        return linear(link_traffic(kind, Algorithm::ring, bytes, shape), shape);
    double bus = shape.per_node > 1 ? bandwidth(intra_) : nccl_.node_rate(shape);
    if (shape.nodes > 1) bus = std::min(bus, nccl_.node_rate(shape));
    const double intra = intra_.latency.value, inter = inter_.latency.value;
    const double across = shape.nodes - 1, inside = shape.size - 1 - across;
    const double move = bytes * bus_factor(kind, shape.size) / bus;
    const double ring = move + rounds(kind) * (inside * intra + across * inter);
    const double depth = levels(shape.per_node) * intra + levels(shape.nodes) * inter;
    const double tree = move / kTreeBandwidth + rounds(kind) * depth;
    return std::min(ring, tree);
}

double CollectiveCost::measured(const Curves& curves, CostKind kind, double bytes, int ranks) {
    auto nearest = curves.begin();
    for (auto it = curves.begin(); it != curves.end(); ++it)
        if (std::abs(std::log2(double(it->first) / ranks)) <
            std::abs(std::log2(double(nearest->first) / ranks)))
            nearest = it;
    return nearest->second.seconds_at_least_first(bytes) * bus_factor(kind, ranks) /
           bus_factor(kind, nearest->first);
}

Seconds CollectiveCost::transfer(Bytes bytes, const TransferPath& path) const {
    const TimeCurve& curve = transfers_[path.same_node ? 0 : 1];
    const double size = static_cast<double>(bytes.value);
    if (!curve.empty()) return Seconds(curve.seconds_at_least_first(size));
    if (nccl_.covers(path.pair())) return Seconds(nccl_.transfer(size, path).seconds);
    const Link& link = path.same_node ? intra_ : inter_;
    const double rate = path.same_node ? bandwidth(link) : nccl_.rate_across(path);
    return link.latency + Seconds(size / rate);
}

}  // namespace shardscope
