#include "core/deepspeed/import.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "core/deepspeed/json.h"
#include "core/deepspeed/sections.h"
#include "core/error.h"
#include "core/training_io.h"
#include "core/yaml_text.h"

namespace shardscope {
namespace {

struct BatchKey {
    std::string_view key;
    std::string_view trainer;
    std::optional<std::int64_t> BatchTriad::*member;
};
constexpr std::array<BatchKey, 3> kBatchKeys{{
    {"train_batch_size",
     "per_device_train_batch_size · gradient_accumulation_steps · data-parallel ranks",
     &BatchTriad::train},
    {"train_micro_batch_size_per_gpu", "per_device_train_batch_size", &BatchTriad::micro},
    {"gradient_accumulation_steps", "gradient_accumulation_steps", &BatchTriad::accumulation},
}};

std::vector<std::string_view> top_level_keys() {
    std::vector<std::string_view> keys = {"zero_optimization",
                                          "fp16",
                                          "bf16",
                                          "bfloat16",
                                          "data_types",
                                          "communication_data_type",
                                          "optimizer",
                                          "gradient_clipping",
                                          "zero_allow_untested_optimizer"};
    for (const BatchKey& batch : kBatchKeys) keys.push_back(batch.key);
    const auto others = other_section_keys();
    keys.insert(keys.end(), others.begin(), others.end());
    return keys;
}

// Any whole number: what is not above 0 is for DeepSpeed's own message.
void read_batch(const YamlMap& top, DeepSpeedConfig& config) {
    constexpr IntegerRange kAnyBatch{-kLargestBatch, kLargestBatch};
    for (std::size_t i = 0; i < kBatchKeys.size(); ++i) {
        config.batch_is_auto |= is_auto(top, kBatchKeys[i].key);
        const auto value = find_given(top, kBatchKeys[i].key, kBatchKeys[i].trainer, config);
        if (!value) continue;
        config.batch.*kBatchKeys[i].member = whole_number(*value, kAnyBatch);
        config.batch_places[i] = value->place();
    }
}

void read_clip(const YamlMap& top, DeepSpeedConfig& config) {
    read_setting(top, "gradient_clipping", "max_grad_norm", config, config.clip,
                 [](const YamlValue& value) { return value.number(kClipRange); });
    if (config.clip.given()) return;
    config.notes.push_back({"", "gradient_clipping",
                            "1.0 is DeepSpeed's default since 2026-06-23; it was 0, no clipping, "
                            "before"});
}

}  // namespace

DeepSpeedConfig parse_deepspeed(const std::string& text, const std::string& file) {
    const YamlMap top = deepspeed_map(parse_deepspeed_json(text, file), top_level_keys());
    DeepSpeedConfig config;
    config.file = file;
    read_batch(top, config);
    read_zero(top, config);
    read_precision(top, config);
    read_optimizer(top, config);
    read_clip(top, config);
    read_other_sections(top, config);
    return config;
}

DeepSpeedConfig load_deepspeed(const std::string& path) {
    return parse_deepspeed(read_text_file(path, "DeepSpeed configuration"), path);
}

Strategy deepspeed_strategy(const DeepSpeedConfig& config) {
    Strategy strategy;
    strategy.zero = config.zero.value;
    strategy.tp = config.tp.value;
    strategy.prefetch = config.prefetch.value;
    strategy.overlap_reduce = config.overlap.value;
    strategy.recompute = config.recompute.value;
    strategy.partition.kind = Partition::Kind::parameters;
    strategy.quantized_weights = config.quantized_weights.value;
    strategy.secondary_shard = config.secondary_shard.value;
    strategy.quantized_gradients = config.quantized_gradients.value;
    strategy.shard_group = config.shard_group.value;
    strategy.offload = {config.offload_optimizer.value, config.offload_param.value,
                        config.offload_activations.value};
    // What deepspeed.checkpointing wraps is computed again.
    if (strategy.offload.activations != OffloadTo::none &&
        strategy.recompute.kind == Recompute::Kind::none)
        strategy.recompute = {Recompute::Kind::full, 1};
    return strategy;
}

Bytes deepspeed_bucket(const DeepSpeedConfig& config, DType gradient_dtype) {
    constexpr std::int64_t kStage0 = 500'000'000;  // engine.py, MEMORY_OPT_ALLREDUCE_SIZE
    const std::int64_t elements = config.zero.value == 0 ? kStage0 : config.reduce_bucket.value;
    return Bytes(std::max<std::int64_t>(elements, 1) * size_of(gradient_dtype));
}

void check_deepspeed(const DeepSpeedConfig& config, int pp, DType gradient_dtype) {
    if (pp > 1 && config.zero.value >= 2) {
        throw Error(
            "deepspeed",
            fmt::format("{}: ZeRO-2 and ZeRO-3 are incompatible with pipeline parallelism "
                        "(zero_optimization.stage {}, pp {})",
                        config.zero.place, config.zero.value, pp),
            fmt::format("use stage 1, or a strategy without this file: {{zero: {}, pp: {}}} "
                        "runs here",
                        config.zero.value, pp));
    }
    const auto communication = config.communication.value;
    if (communication && *communication != gradient_dtype) {
        throw Error("unsupported",
                    fmt::format("{}: communication_data_type {}, but gradients are kept in {}, and "
                                "sent as they are kept",
                                config.communication.place, name_of(*communication),
                                name_of(gradient_dtype)),
                    *communication == DType::fp32
                        ? fmt::format("use {}, or data_types.grad_accum_dtype fp32",
                                      name_of(gradient_dtype))
                        : fmt::format("use {}", name_of(gradient_dtype)));
    }
}

}  // namespace shardscope
