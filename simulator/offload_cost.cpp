#include "simulator/offload_cost.h"

#include <algorithm>

namespace shardscope {

OffloadCost::OffloadCost(const Cluster& cluster, std::size_t ranks) {
    const NodeHost& host = cluster.host;
    const auto per_node = static_cast<double>(
        std::clamp<std::size_t>(ranks, 1, static_cast<std::size_t>(cluster.gpus_per_node)));
    latency_ = host.link.latency.value;
    link_ = host.link.bandwidth.value * host.link.efficiency;
    memory_ = host.memory_bandwidth.value * host.memory_efficiency / per_node;
    read_ = host.nvme_read.value / per_node;
    write_ = host.nvme_write.value / per_node;
}

Seconds OffloadCost::move(Stream stream, Bytes bytes) const {
    const auto moved = static_cast<double>(bytes.value);
    if (stream == Stream::nvme_read) return Seconds(moved / read_);
    if (stream == Stream::nvme_write) return Seconds(moved / write_);
    return Seconds(latency_ + moved / link_);
}

Seconds OffloadCost::kernel(const Compute& compute) const {
    const KernelCost cost = cost_of(compute.kernel, compute.dtype, compute.gradient);
    return Seconds(static_cast<double>(cost.moved().value) / memory_);
}

}  // namespace shardscope
