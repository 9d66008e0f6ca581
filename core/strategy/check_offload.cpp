#include "core/strategy/check_offload.h"

#include <string>

#include <fmt/format.h>

#include "core/error.h"
#include "core/strategy/validate.h"

namespace shardscope {
namespace {

[[noreturn]] void refuse_offload(const Strategy& s, const std::string& message,
                                 const std::string& fix) {
    throw Error("offload", fmt::format("{}: {}", place_of(s), message), fix);
}

// DeepSpeed's rules: "offload_param" is of stage 3 (deepspeed/runtime/zero/config.py), there is nothing to
// step on the host without a ZeRO optimizer.
void check_stage(const Strategy& s) {
    const Offload& offload = s.offload;
    if (offload.optimizer != OffloadTo::none && s.zero == 0)
        refuse_offload(
            s,
            "offload.optimizer with zero 0: every rank of a node would keep all states in the "
            "memory that they share",
            "use zero 1, 2 or 3, or leave offload.optimizer out");
    if (offload.parameters == OffloadTo::none) return;
    if (s.zero < 3)
        refuse_offload(
            s,
            fmt::format("offload.parameters with zero {}: they are fetched where they are "
                        "gathered, which zero 3 does",
                        s.zero),
            "use zero 3, or leave offload.parameters out");
    if (offload.optimizer == OffloadTo::none)
        refuse_offload(
            s,
            "offload.parameters without offload.optimizer: the device would step what lies on "
            "the host",
            "add offload.optimizer: cpu, or leave offload.parameters out");
}

// The host's step is one pass over elements.
void check_offloaded_optimizer(const OptimizerSpec& optimizer, const Strategy& s) {
    const bool by_elements =
        optimizer.kind == OptimizerKind::adamw || optimizer.kind == OptimizerKind::adam ||
        optimizer.kind == OptimizerKind::sgd || optimizer.kind == OptimizerKind::lion;
    if (s.offload.optimizer != OffloadTo::none && !by_elements)
        refuse_offload(
            s,
            fmt::format("offload.optimizer with optimizer {}, which the host does not step",
                        name_of(optimizer.kind)),
            "use adamw, adam, sgd or lion, or leave offload.optimizer out");
}

// FSDP's CPUOffloadPolicy has parameters, gradients and states on the host, or none of them
// (torch/distributed/fsdp/_fully_shard/_fsdp_api.py).
void check_fsdp(const Strategy& s) {
    if (!is_fsdp(s.profile) || s.offload.optimizer == OffloadTo::none) return;
    if (s.offload.parameters == OffloadTo::none)
        refuse_offload(
            s,
            fmt::format("offload.optimizer alone with profile {}, which offloads parameters and "
                        "states together",
                        name_of(s.profile)),
            "add offload.parameters: cpu, or use another profile");
    if (s.pp > 1)
        refuse_offload(
            s,
            fmt::format("offload with profile {} and pp {}, where a stage keeps its parameters "
                        "gathered",
                        name_of(s.profile), s.pp),
            "use pp 1, or another profile");
}

void check_host(const Cluster& cluster, const Strategy& s) {
    const NodeHost& host = cluster.host;
    const auto need = [&](bool stated, const char* key, const char* example) {
        if (stated) return;
        refuse_offload(
            s,
            fmt::format("{} on {} states no host.{}", offload_text(s.offload),
                        cluster.name.empty() ? "a cluster that"
                                             : fmt::format("cluster {}, which", cluster.name),
                        key),
            fmt::format("add host: {{{}}} to the cluster", example));
    };
    need(host.memory.value > 0, "memory", "memory: 2TB");
    need(host.link.bandwidth.value > 0, "link.bandwidth", "link: {bandwidth: 64GB/s}");
    if (s.offload.optimizer != OffloadTo::none)
        need(host.memory_bandwidth.value > 0, "memory_bandwidth", "memory_bandwidth: 400GB/s");
    if (!s.offload.on_nvme()) return;
    need(host.nvme.value > 0, "nvme.capacity", "nvme: {capacity: 30TB}");
    need(host.nvme_read.value > 0, "nvme.read", "nvme: {read: 25GB/s}");
    need(host.nvme_write.value > 0, "nvme.write", "nvme: {write: 15GB/s}");
}

}  // namespace

void check_offload(const Cluster& cluster, const OptimizerSpec& optimizer, const Strategy& s) {
    if (!s.offload.any()) return;
    check_offloaded_optimizer(optimizer, s);
    if (cluster.device.kind == DeviceKind::cpu)
        refuse_offload(s, "offload on CPUs, whose memory is the host's already",
                       "leave offload out, or use a cluster of GPUs");
    check_stage(s);
    check_fsdp(s);
    if (s.offload.activations != OffloadTo::none && s.recompute.kind != Recompute::Kind::full)
        refuse_offload(
            s,
            "offload.activations without recompute: full: what is offloaded are the inputs that "
            "blocks are computed again from",
            "add recompute: full, or leave offload.activations out");
    check_host(cluster, s);
}

}  // namespace shardscope
