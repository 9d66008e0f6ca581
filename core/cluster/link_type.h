// What a link is: decides which of NCCL's constants apply to it (simulator/nccl_constants.h), and what
// a cluster file need not say of it.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace shardscope {

// `generic`: nothing is known but bandwidth and latency; also links that NCCL does not drive.
enum class LinkType : std::uint8_t {
    generic,
    nvlink2,
    nvlink3,
    nvlink4,
    nvlink5,
    pcie3,
    pcie4,
    pcie5,
    infinity_fabric,
    infiniband,
    roce,
    efa,
    omni_path,
    ethernet,
};

// What a link of a type has where its cluster file does not say.
struct LinkTypeFacts {
    std::string_view name;    // "nvlink4"
    bool between_nodes;       // a network
    double efficiency;        // Link::efficiency
    double latency;           // seconds; Link::latency
    std::string_view source;  // of the two
    bool gpu_direct =
        false;  // a network that reads and writes the device's memory (GPUDirect RDMA)
};

// By LinkType, in its order. `generic` counts as either.
std::span<const LinkTypeFacts> link_types();
const LinkTypeFacts& facts_of(LinkType type);

}  // namespace shardscope
