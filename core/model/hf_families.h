// Internal to core/model: the supported model types and how each reads its configuration. Structure and
// defaults are those of the type's configuration and model classes in Hugging Face's transformers.
#pragma once

#include <span>
#include <string_view>

#include "core/model/hf_config.h"

namespace shardscope {

struct HfFamily {
    std::string_view type;    // model_type
    std::string_view entity;  // how its classes are called: "Llama" for LlamaForCausalLM
    TransformerSpec (*read)(HfConfig& config, const HfOptions& options);
};

std::span<const HfFamily> hf_families();

}  // namespace shardscope
