// A tiny model of every Hugging Face type that can be imported, and what it should compute.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/model/model_spec.h"

namespace shardscope::test {

// Named as their types: two blocks, hidden 24, 4 heads, vocabulary 50, 16 tokens. Each is read from a
// config.json, with what sets its type apart: head sizes, key-value heads, biases, …
std::vector<ModelSpec> tiny_families();

// Their names, without reading anything: tests are named in every process that runs one of them.
const std::vector<std::string>& tiny_family_names();

// The mean of −log p(target) over a sample's tokens, from the definitions and with plain loops; weights
// by name as in core/model. Knows nothing of lowering and kernels.
double reference_loss(const TransformerSpec& spec,
                      const std::map<std::string, std::vector<double>>& weights,
                      const std::vector<std::int32_t>& tokens,
                      const std::vector<std::int32_t>& targets);

}  // namespace shardscope::test
