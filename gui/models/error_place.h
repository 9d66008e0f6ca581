// Which field of the forms an error is about, so that it can be framed.
#pragma once

#include <QString>

#include "core/error.h"

namespace shardscope::gui {

// The object name of the field: "tp", "pp", "dp", "ranks", "zero", "micro_batch", "bucket", "prefetch",
// "reduce_at", "sequence_parallel", "schedule", "virtual_stages", "partition", "recompute", "attention",
// "strategy_name" of the strategy; "model", "cluster", "nodes", "sequence", "global_batch", "precision"
// of the scenario. Empty: of none in particular.
QString error_field(const Error& error);

}  // namespace shardscope::gui
