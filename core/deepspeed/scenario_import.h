// Strategies of a scenario that name a DeepSpeed configuration.
//
// The file sets what such a strategy is, and what `training:` does not say. What both say must agree, and
// so must two strategies' files: one scenario trains one model in one way.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "core/deepspeed/config.h"
#include "core/scenario.h"
#include "core/yaml_reader.h"

namespace shardscope {

// A strategy's entry with the key `deepspeed`, and the file that it names.
struct DeepSpeedEntry {
    std::size_t strategy = 0;  // index in Scenario::strategies
    DeepSpeedConfig config;
    YamlValue entry;
};

// Reads the file that `key` names, from `folder` ("" or with a slash at its end) if it is relative.
DeepSpeedConfig load_named_deepspeed(const YamlValue& key, const std::string& folder);

// Reads `training:` (which may be missing) and completes the entries' strategies: micro-batch, bucket.
// Strategies and cluster must be there. The order of who decides: what a file or the scenario says; then
// DeepSpeed's defaults; a batch that a file leaves open is the scenario's.
// Throws Error "disagree" naming both places and values, and what resolve_batch and check_deepspeed throw.
void read_deepspeed_training(const std::optional<YamlValue>& training,
                             const std::vector<DeepSpeedEntry>& entries, Scenario& scenario);

}  // namespace shardscope
