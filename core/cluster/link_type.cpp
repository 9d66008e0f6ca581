#include "core/cluster/link_type.h"

#include <array>

namespace shardscope {
namespace {

// NVLink, PCIe and InfiniBand: what NCCL counts on, src/graph/topo.h of v2.28.9 over the data sheet:
// 20 of 25 GB/s per NVLink up to A100, 20.6 of 25 on H100, 40.1 of 50 on B200; 12 of 15.75 GB/s for
// PCIe 3 x16; 12 of 12.5 GB/s for a port of 100 Gbit/s.
// Omni-Path without GPUDirect is an assumption: its verbs have none.
// "fitted": bench/collectives_fit.cpp from published nccl-tests runs, docs/cost-model.md.
constexpr std::array<LinkTypeFacts, 14> kTypes{{
    {"generic", false, 1.0, 0, ""},
    {"nvlink2", false, 0.833, 0, "fitted"},
    {"nvlink3", false, 0.80, 0, "NCCL topo.h"},
    {"nvlink4", false, 0.824, 0, "NCCL topo.h"},
    {"nvlink5", false, 0.802, 0, "NCCL topo.h"},
    {"pcie3", false, 0.76, 0, "NCCL topo.h"},
    {"pcie4", false, 0.76, 0, "NCCL topo.h"},
    {"pcie5", false, 0.76, 0, "NCCL topo.h"},
    {"infinity_fabric", false, 0.70, 0, "assumption"},
    {"infiniband", true, 0.96, 0, "NCCL topo.h", true},
    {"roce", true, 0.96, 0, "as InfiniBand", true},
    {"efa", true, 0.98, 38e-6, "fitted", true},
    {"omni_path", true, 0.30, 0, "fitted to training runs"},
    {"ethernet", true, 0.80, 20e-6, "assumption: TCP sockets"},
}};

}  // namespace

std::span<const LinkTypeFacts> link_types() { return kTypes; }

const LinkTypeFacts& facts_of(LinkType type) { return kTypes[static_cast<std::size_t>(type)]; }

}  // namespace shardscope
