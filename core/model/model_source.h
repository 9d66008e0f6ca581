// Models that a program asks for itself, with the words that a scenario would use.
#pragma once

#include <string>

#include "core/model/model_spec.h"

namespace shardscope {

// A model of the catalogue (core/catalogue.h). Throws "unknown-name".
ModelSpec catalogue_model(const std::string& name);

// Tokens per sample of any form of a model; null: it has no sequence.
std::int64_t* sequence_length(ModelSpec& model);
const std::int64_t* sequence_length(const ModelSpec& model);

}  // namespace shardscope
