#include "core/strategy/check_dispatch.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/error.h"

namespace shardscope {

// DeepEP sends a row across the network to the rank in the same place on another node, which passes it on: nodes have
// equally many ranks of the group, and hold whole sets of ranks that divide an expert, or parts of one.
bool has_deepep_groups(const Cluster& cluster, int ep, int etp) {
    const int ranks = ep * etp;
    const int node = std::max(1, cluster.gpus_per_node), here = std::min(node, ranks);
    const bool even = ranks <= node ? node % ranks == 0 : ranks % node == 0;
    const bool whole = here % etp == 0 || etp % here == 0;
    return ranks <= kMostDeepEpRanks && even && whole;
}

void check_dispatch(const Cluster& cluster, const Strategy& s, const Layout& layout) {
    const int ranks = layout.ep * layout.etp;
    if (s.dispatcher != Dispatcher::deepep || ranks == 1) return;
    const std::string group =
        fmt::format("ep {} × etp {} = {} ranks", layout.ep, layout.etp, ranks);
    if (ranks > kMostDeepEpRanks)
        throw Error("dispatcher",
                    fmt::format("{}: deepep among {}, but its kernels know at most {}", place_of(s),
                                group, kMostDeepEpRanks),
                    "use a smaller ep, or dispatcher: alltoall");
    if (has_deepep_groups(cluster, layout.ep, layout.etp)) return;
    const int node = std::max(1, cluster.gpus_per_node);
    throw Error("dispatcher",
                fmt::format("{}: deepep among {} on nodes of {}: it needs groups that lie alike on "
                            "each node",
                            place_of(s), group, node),
                fmt::format("use an ep · etp that divides {} or is a multiple of it, or "
                            "dispatcher: alltoall",
                            node));
}

void check_dispatch(const Model& model, const Strategy& s) {
    const bool narrow = s.dispatch_precision == DispatchPrecision::fp8;
    const char* key = s.dispatcher != Dispatcher::all_to_all ? "dispatcher"
                      : narrow                               ? "dispatch_precision"
                      : s.overlap_shared_experts             ? "overlap_shared_experts"
                                                             : nullptr;
    if (key == nullptr) return;
    if (!model.has_experts())
        throw Error("dispatcher", fmt::format("{}, but the model has no experts", key),
                    fmt::format("leave out {}, or use a model with experts", key));
    for (const Layer& layer : model.layers) {
        const auto* block = std::get_if<BlockLayer>(&layer.kind);
        if (block == nullptr || !block->has_experts()) continue;
        if (s.overlap_shared_experts && block->ffn == 0)
            throw Error("dispatcher",
                        "overlap_shared_experts, but the model has no shared experts: nothing is "
                        "computed meanwhile",
                        "leave out overlap_shared_experts, or set experts.shared_ffn");
        if (narrow && block->hidden % kDispatchBlock != 0)
            throw Error("dispatcher",
                        fmt::format("dispatch_precision fp8 with hidden {}: a row has a scale for "
                                    "every {} elements",
                                    block->hidden, kDispatchBlock),
                        fmt::format("use a hidden that is a multiple of {}, or dispatch_precision: "
                                    "stored",
                                    kDispatchBlock));
    }
}

}  // namespace shardscope
