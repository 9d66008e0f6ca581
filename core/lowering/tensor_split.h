// Pass "tensor parallel": what one rank of a tensor-parallel group holds of a model.
//
// Megatron-LM's scheme (Shoeybi et al. 2019, arXiv:1909.08053, section 3): attention by heads and the
// MLP by its inner width, the first linear layer of each pair split by outputs (column parallel), the
// second by inputs (row parallel); embedding and classifier by vocabulary. Query heads divide over the
// ranks; where there are fewer key and value heads than ranks, neighbouring ranks hold the same one. In
// layer lists a linear layer and the next one form such a pair where only element-wise activations lie
// between them; other layers are held whole by every rank.
//
// Experts divide over the ranks of an expert-parallel group, whole matrices each, and each expert's inner
// width over etp of the tensor-parallel ranks, as that of the MLP does over all of them. Routers, and what compresses queries, keys
// and values in latent attention, are held whole.
#pragma once

#include <cstdint>
#include <vector>

#include "core/model/model.h"

namespace shardscope {

// Which part of a parameter a rank holds.
struct TensorSplit {
    // Rows (or columns) [first, first + count) of the whole parameter are divided into `parts` blocks
    // of ⌈count/parts⌉; rank i of tp holds block i·parts/tp, the last block may be cut short (its rest
    // is padding that stays zero).
    struct Section {
        std::int64_t first = 0, count = 0;
        int parts = 1;
        std::int64_t local() const { return (count + parts - 1) / parts; }
    };
    enum class Kind { whole, rows, columns } kind = Kind::whole;
    // > 0: the parameter is a row of so many matrices, of experts. A rank of an expert-parallel group
    // holds count/ep of them one after the other, of each what the above says.
    std::int64_t experts = 0;
    std::vector<Section> sections;  // in local order; columns: one; whole: none
};

// A run of consecutive elements that a rank holds of a parameter.
struct ElementRun {
    std::int64_t global_first = 0, local_first = 0, count = 0;
};

// A rank's place in the groups that divide the model.
struct SplitPlace {
    int tp = 1, tensor_index = 0;
    int ep = 1, expert_index = 0;
    int etp = 1, expert_tensor_index = 0;
};

// Everything the rank holds of a parameter of shape `shape`, ascending in local elements.
std::vector<ElementRun> runs_of(const TensorSplit& split, const std::vector<std::int64_t>& shape,
                                const SplitPlace& place);

// A model whose shapes are those of one rank, the same for all of them. tp = ep = etp = 1: the model itself.
struct LocalModel {
    Model model;
    std::vector<TensorSplit> splits;  // per parameter
};

// Throws Error "tensor-parallel" when heads or widths do not divide by tp, or experts' by etp,
// "expert-parallel" when experts do not divide by ep.
LocalModel split_model(const Model& model, int tp, int ep, int etp);
inline LocalModel split_model(const Model& model, int tp) { return split_model(model, tp, 1, tp); }

}  // namespace shardscope
