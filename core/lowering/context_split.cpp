#include "core/lowering/context_split.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/error.h"

namespace shardscope {
namespace {

[[noreturn]] void refuse_context_split(const std::string& message, const std::string& fix) {
    throw Error("context-parallel", message, fix);
}

void check_sequence(const Model& model, const Strategy& s) {
    if (!model.tokens) refuse_context_split("the model has no sequence to divide", "use cp 1");
    const bool ulysses = context_kind(s) == ContextKind::ulysses;
    const std::int64_t pieces = ulysses ? s.cp : std::int64_t{2} * s.cp;
    if (model.seq % pieces == 0) return;
    const std::int64_t below = model.seq / pieces * pieces, above = below + pieces;
    refuse_context_split(fmt::format("seq {} does not divide into {}cp {} = {} pieces", model.seq,
                                     ulysses ? "" : "2 × ", s.cp, pieces),
                         below > 0 ? fmt::format("use seq {} or {}, or another cp", below, above)
                                   : fmt::format("use seq {}, or a smaller cp", above));
}

// Ulysses divides what heads tensor parallelism has left to the rank; of fewer key and value heads than ranks
// several have the same one.
void check_ulysses_heads(const Layer& layer, const BlockLayer& block, const Strategy& s) {
    const auto refuse = [&](const char* what, std::int64_t heads, const std::string& fix) {
        refuse_context_split(fmt::format("{}: {} {} per rank (tp {}) do not divide over cp {}",
                                         layer.name, heads, what, s.tp, s.cp),
                             fmt::format("use a cp that {}, or cp_kind ring or all-gather", fix));
    };
    if (block.heads % s.cp != 0)
        refuse("heads", block.heads, fmt::format("divides {}", block.heads));
    const std::int64_t kv = block.kv_heads;
    if (kv % s.cp != 0 && s.cp % kv != 0)
        refuse("key-value heads", kv, fmt::format("divides {0} or is a multiple of {0}", kv));
}

}  // namespace

Model divide_sequence(Model model, const Strategy& strategy) {
    check_sequence(model, strategy);
    model.seq /= strategy.cp;
    for (Layer& layer : model.layers) {
        if (auto* block = std::get_if<BlockLayer>(&layer.kind)) {
            if (context_kind(strategy) == ContextKind::ulysses)
                check_ulysses_heads(layer, *block, strategy);
            block->seq = model.seq;
        } else if (auto* embedding = std::get_if<EmbeddingLayer>(&layer.kind)) {
            // The gradient of the positions is the whole table's, zero at other ranks' tokens.
            embedding->position_rows = std::max(embedding->position_rows, embedding->seq);
            embedding->seq = model.seq;
        }
    }
    return model;
}

}  // namespace shardscope
