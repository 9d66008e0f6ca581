// Pass "tensor parallel": what one rank of a tensor-parallel group holds of a model.
//
// Megatron-LM's scheme (Shoeybi et al. 2019, arXiv:1909.08053, section 3): attention by heads and the
// MLP by its inner width, the first linear layer of each pair split by outputs (column parallel), the
// second by inputs (row parallel); embedding and classifier by vocabulary. Query heads divide over the
// ranks; where there are fewer key and value heads than ranks, neighbouring ranks hold the same one. In
// layer lists a linear layer and the next one form such a pair where only element-wise activations lie
// between them; other layers are held whole by every rank.
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
    std::vector<Section> sections;  // in local order; columns: one; whole: none
};

// A run of consecutive elements that a rank holds of a parameter.
struct ElementRun {
    std::int64_t global_first = 0, local_first = 0, count = 0;
};

// Everything rank `index` of `tp` holds of a parameter of shape `shape`, ascending in local elements.
std::vector<ElementRun> runs_of(const TensorSplit& split, const std::vector<std::int64_t>& shape,
                                int tp, int index);

// A model whose shapes are those of one rank, the same for all of them. tp = 1: the model itself.
struct LocalModel {
    Model model;
    std::vector<TensorSplit> splits;  // per parameter
};

// Throws Error "tensor-parallel" when heads or widths do not divide by tp.
LocalModel split_model(const Model& model, int tp);

}  // namespace shardscope
