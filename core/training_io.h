// The `training:` and `data:` parts of a scenario: docs/scenario.md has the keys.
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include "core/scenario.h"
#include "core/yaml_reader.h"

namespace shardscope {

inline constexpr NumberRange kRateRange{0, 1e6};  // learning rate, weight decay, momentum
inline constexpr NumberRange kClipRange{0, 1e30};
inline constexpr NumberRange kEpsilonRange{0, 1, true};
// 1 would never forget: the bias correction divides by 0.
inline constexpr NumberRange kBetaRange{0, 0.9999999999};

// A type that numbers are stored in: fp32, fp64, bf16 or fp16.
DType read_precision(const YamlValue& value);
// `auto` is empty.
std::optional<std::int64_t> read_micro_batch(const YamlValue& value);

// What the keys of `training:` change.
struct TrainingDefaults {
    TrainingSpec spec;
    bool needs_batch = true;  // global_batch must be given

    TrainingDefaults();  // PyTorch's AdamW; the other fields as in TrainingSpec
};
TrainingSpec read_training(const YamlValue& value, const TrainingDefaults& defaults = {});
// `folder` is put before relative paths.
DataSpec read_data(const YamlValue& value, const std::string& folder);

// What the readers read back to an equal value; paths inside `folder` are written relative to it.
nlohmann::ordered_json training_to_json(const TrainingSpec& spec);
nlohmann::ordered_json data_to_json(const DataSpec& spec, const std::string& folder);

}  // namespace shardscope
