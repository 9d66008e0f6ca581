// What `import deepspeed` prints: a configuration resolved for a number of ranks.
#pragma once

#include <optional>
#include <string>

#include "core/deepspeed/config.h"

namespace shardscope {

struct DeepSpeedSummary {
    DeepSpeedConfig config;
    int world = 1, dp = 1;
    std::optional<ResolvedBatch> batch;  // empty: the file leaves it to Hugging Face's Trainer
    // What a scenario would say. Without a batch, global_batch is 0.
    TrainingSpec training;
    Strategy strategy;
};

// Resolves the file for `world` ranks in groups of tp · pp; tp 0 is the file's own degree. Throws Error
// with the file's place: "world-size", "batch", "disagree" (tp), and what check_deepspeed throws.
DeepSpeedSummary summarise_deepspeed(DeepSpeedConfig config, int world, int tp, int pp);

// For people: what was read and inferred, every key of zero_optimization with its default, notes, and the
// same as YAML that a scenario can take.
std::string deepspeed_to_text(const DeepSpeedSummary& summary);
// The same for programs; ends with a line feed. docs/import.md has the members.
std::string deepspeed_to_json(const DeepSpeedSummary& summary);

}  // namespace shardscope
