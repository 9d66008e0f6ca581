// DeepSpeed configurations (ds_config.json) in.
//
// What this program cannot do and what would change memory or results is refused by name: fp16, offload,
// other optimizers, quantised communication, schedulers … What only steers buffers, overlap, files or
// logs of DeepSpeed becomes a note. Unknown keys are errors with the nearest known one, at the top level
// too, where DeepSpeed lets them pass.
//
// Sources of keys, defaults and messages: DeepSpeed 0.19, runtime/config.py, runtime/zero/config.py,
// runtime/precision_config.py, runtime/engine.py.
#pragma once

#include <string>

#include "core/deepspeed/config.h"

namespace shardscope {

// Reads and checks what the file alone can say; the batch is checked by resolve_batch, which needs the
// number of ranks. Throws Error with file:line:column and rules of parse_deepspeed_json and YamlMap,
// "deepspeed" (DeepSpeed itself refuses it, in its words) and "unsupported" (this program cannot do it).
DeepSpeedConfig parse_deepspeed(const std::string& text, const std::string& file);
DeepSpeedConfig load_deepspeed(const std::string& path);

// How a strategy from this file begins: ZeRO stage, prefetch, tensor parallelism, recomputation, and
// layers divided by parameters, as DeepSpeed's PipelineModule does. Batch, bucket and name are the
// caller's.
Strategy deepspeed_strategy(const DeepSpeedConfig& config);

// reduce_bucket_size, which counts elements, in bytes; stage 0 has a size of its own.
Bytes deepspeed_bucket(const DeepSpeedConfig& config, DType gradient_dtype);

// Throws Error "deepspeed" where DeepSpeed refuses the file with that many pipeline stages, "unsupported"
// where communication_data_type is not what gradients are kept in.
void check_deepspeed(const DeepSpeedConfig& config, int pp, DType gradient_dtype);

}  // namespace shardscope
