// What a DeepSpeed configuration says, in this project's words. Plain values; import.h makes them.
//
// `"auto"` counts as not given everywhere: Hugging Face's Trainer replaces it from its own arguments
// before DeepSpeed sees the file; here a scenario's `training:` does, or else DeepSpeed's default holds.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/deepspeed/batch.h"
#include "core/dtype.h"
#include "core/scenario.h"
#include "core/strategy/strategy.h"

namespace shardscope {

// A value and where the file gives it; without a place it is DeepSpeed's default.
template <typename T>
struct Setting {
    T value{};
    std::string place{};   // "ds.json:3:5"
    bool is_auto = false;  // written as "auto"
    bool given() const { return !place.empty(); }
};

// Defaults of DeepSpeed's FusedAdam, unless `torch_adam` asks for PyTorch's.
struct DeepSpeedOptimizer {
    Setting<OptimizerKind> kind;  // "Adam" is adamw unless adam_w_mode is false
    Setting<double> lr{1e-3}, beta1{0.9}, beta2{0.999}, epsilon{1e-8};
    Setting<double> weight_decay, momentum;

    OptimizerSpec spec() const {
        return {kind.value,    lr.value,           beta1.value,   beta2.value,
                epsilon.value, weight_decay.value, momentum.value};
    }
};

// One key of zero_optimization as `import` lists it.
struct ZeroKey {
    std::string key;            // "reduce_bucket_size"
    std::string value;          // as written; empty: not given
    std::string default_value;  // DeepSpeed's
    std::string here;           // what it means here
};

// A key that has no effect here, or one whose effect surprises.
struct DeepSpeedNote {
    std::string place;  // empty: of a key that is not in the file
    std::string key;    // "wall_clock_breakdown", "optimizer.params.lr"
    std::string text;   // one sentence without a full stop
};

struct DeepSpeedConfig {
    std::string file;

    BatchTriad batch;
    // Of train_batch_size, train_micro_batch_size_per_gpu and gradient_accumulation_steps; empty: not
    // given or "auto".
    std::array<std::string, 3> batch_places;
    bool batch_is_auto = false;  // one of them is "auto"

    std::optional<DeepSpeedOptimizer> optimizer;  // empty: DeepSpeed takes the script's
    Setting<double> clip{1.0};                    // gradient_clipping
    Setting<DType> precision{DType::fp32};
    Setting<std::optional<DType>> gradient_dtype;  // data_types.grad_accum_dtype; empty: precision
    Setting<std::optional<DType>> communication;   // communication_data_type; empty: gradients'

    Setting<int> zero;
    Setting<std::int64_t> reduce_bucket{500'000'000};  // elements, not bytes
    Setting<int> prefetch{1};                          // layers
    Setting<std::optional<bool>> overlap;              // overlap_comm; empty: not given, or stage 0
    Setting<int> tp{1};                                // tensor_parallel.autotp_size
    Setting<Recompute> recompute;                      // pipeline.activation_checkpoint_interval

    // zero_quantized_weights, zero_hpz_partition_size, zero_quantized_gradients and mics_shard_size, of stage 3.
    Setting<bool> quantized_weights, quantized_gradients;
    Setting<int> secondary_shard, shard_group;
    // offload_optimizer.device, offload_param.device, activation_checkpointing.cpu_checkpointing; none where
    // the stage has no such thing.
    Setting<OffloadTo> offload_optimizer, offload_param, offload_activations;

    std::vector<ZeroKey> zero_keys;  // every one that DeepSpeed knows, in its order
    std::vector<DeepSpeedNote> notes;

    // Where the batch is given, for messages; the file's beginning where it is not.
    std::string batch_place() const {
        for (const std::string& place : batch_places)
            if (!place.empty()) return place;
        return file + ":1:1";
    }
};

}  // namespace shardscope
