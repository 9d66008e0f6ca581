// How a training run is spread over ranks: one plain struct of orthogonal numbers (DESIGN.md).
//
// Presets (`ddp`, `zero-1` …) are only names for values of it; hybrids are the normal case.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/units.h"

namespace shardscope {

// When gradients are reduced across data-parallel ranks.
enum class ReduceAt {
    by_stage,  // what the ZeRO stage implies: stages 0 and 1 at the boundary, 2 and 3 every micro-batch
    boundary,     // once per step, after the last micro-batch (refused with zero ≥ 2)
    micro_batch,  // after every micro-batch
};

struct Strategy {
    std::string name;          // unique within a scenario
    int tp = 1;                // tensor-parallel degree
    int pp = 1;                // pipeline stages
    std::optional<int> dp;     // data-parallel degree; empty: world size / (tp · pp)
    std::optional<int> ranks;  // ranks this strategy uses; empty: all of the cluster's
    int zero = 0;  // ZeRO stage 0 … 3 (1 optimizer states, 2 + gradients, 3 + parameters)
    std::optional<std::int64_t>
        micro_batch;  // samples per rank and micro-batch; empty: training.micro_batch
    Bytes bucket{25 * 1024 *
                 1024};  // gradients are reduced in buckets of at least this size (PyTorch
                         // DDP's default); zero 3 reduces and gathers layer by layer
    int prefetch = 1;    // zero 3: layers gathered ahead of the one that computes
    ReduceAt reduce_at = ReduceAt::by_stage;
    std::string place;  // "scenario.yaml:12:5" for messages, empty without a file; not a value

    bool reduces_every_micro_batch() const {
        return reduce_at == ReduceAt::micro_batch || (reduce_at == ReduceAt::by_stage && zero >= 2);
    }
};

// "dp4 zero3" – the layout column of reports.
std::string layout_of(const Strategy& strategy, int dp);

}  // namespace shardscope
