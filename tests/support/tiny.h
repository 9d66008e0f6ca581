// Small scenarios that tests share: models of every family on ranks that are threads of this process.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/lowering/plan.h"
#include "core/model/model.h"
#include "core/scenario.h"

namespace shardscope::test {

ModelSpec tiny_mlp();    // 20-32(gelu)-17(relu)-7, widths that no rank count divides
ModelSpec tiny_gpt();    // 3 blocks, hidden 24, 4 heads, vocab 50, seq 16, tied embeddings
ModelSpec tiny_llama();  // 3 blocks, hidden 24, 4 heads over 2 kv heads, vocab 50, seq 16
std::vector<ModelSpec> tiny_models();
TransformerSpec tiny_transformer();  // tiny_llama, every choice open

// The same with 6 blocks, for pipelines with several chunks per stage.
ModelSpec deep_gpt();
ModelSpec deep_llama();

// A scenario on `ranks` ranks: synthetic data, AdamW, fp32, one strategy "ddp" to be changed.
Scenario tiny_scenario(const ModelSpec& model, int ranks);

// Lowers the scenario's strategy number `index` for a CPU.
Plan lower_tiny(const Scenario& scenario, std::size_t index = 0);

// Why the first strategy of a scenario in YAML cannot be lowered, checked to be invalid input; "no error" where it can.
std::string refusal_of(const std::string& scenario);

// Bytes of what blocks.1 keeps from the forward to the backward body, with its input instead of its
// output; of the first role.
std::int64_t saved_by_a_block(const Plan& plan);

// "gpt zero3 dp4 accumulation 2" – for SCOPED_TRACE.
std::string describe(const Scenario& scenario, const Strategy& strategy);

}  // namespace shardscope::test
