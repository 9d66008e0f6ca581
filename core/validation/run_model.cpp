#include "core/validation/run_model.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>

#include <fmt/format.h>

#include "core/error.h"
#include "core/model/model.h"
#include "core/nearest.h"
#include "core/validation/run_words.h"

namespace shardscope {
namespace {

constexpr auto kRunMlps = std::to_array<std::pair<std::string_view, Mlp>>({
    {"gelu", Mlp::gelu},
    {"gelu_erf", Mlp::gelu_erf},
    {"relu", Mlp::relu},
    {"relu2", Mlp::relu},  // one multiply more per element, which no kernel's time shows
    {"swiglu", Mlp::swiglu},
    {"geglu", Mlp::geglu},
    {"geglu_erf", Mlp::geglu_erf},
});

// What stands for an empty column.
std::string usual_mlp(const MeasuredRun& run) {
    const bool experts = run.experts.value_or(1) > 1;
    return !experts && (!run.ffn || *run.ffn == 4 * *run.hidden) ? "gelu" : "swiglu";
}

Mlp mlp_of(const MeasuredRun& run, std::vector<Assumption>& assumed) {
    std::string word = usual_word(RunWord::mlp, run.mlp);
    if (word.empty()) {
        word = usual_mlp(run);
        assumed.push_back({"mlp", word});
    }
    std::vector<std::string_view> names;
    for (const auto& [name, mlp] : kRunMlps) {
        if (folded(name) == word) return mlp;
        names.push_back(name);
    }
    throw Error("unknown-name", fmt::format("an MLP with \"{}\" is not modelled", word),
                suggest_name(word, names));
}

// Llama's rule for gated MLPs: two thirds of 4 · hidden, rounded up to a multiple of 256.
std::int64_t usual_ffn(std::int64_t hidden, bool gated) {
    if (!gated) return 4 * hidden;
    constexpr std::int64_t kMultiple = 256;
    return (8 * hidden / 3 + kMultiple - 1) / kMultiple * kMultiple;
}

std::int64_t padded_vocabulary(std::int64_t vocab, RuntimeProfile profile, int tp) {
    if (!is_megatron(profile) && profile != RuntimeProfile::megatron_deepspeed) return vocab;
    const std::int64_t multiple = std::int64_t{128} * tp;
    return (vocab + multiple - 1) / multiple * multiple;
}

// What no column says of released models with experts, by what their names contain; the first is meant.
struct Released {
    std::string_view name;
    std::int64_t first_dense,
        shared;  // blocks without experts; shared experts, each as wide as one
    LatentAttentionSpec latent;
};
constexpr LatentAttentionSpec kDeepSeekAttention{512, 1536, 128, 64, 128};
constexpr auto kReleased = std::to_array<Released>({
    {"DeepSeek-V2-Lite", 1, 2, {512, 0, 128, 64, 128}},
    {"DeepSeek-V2", 1, 2, kDeepSeekAttention},
    {"DeepSeek-V3", 3, 1, kDeepSeekAttention},
    {"DeepSeek-R1", 3, 1, kDeepSeekAttention},
    {"DeepSeekMoE-16B", 1, 2, {}},
    {"Qwen1.5-MoE", 0, 4, {}},
    {"Qwen2-57B-A14B", 0, 8, {}},
    {"Kimi-K2", 1, 1, kDeepSeekAttention},
    {"Moonlight-16B", 1, 2, {512, 0, 128, 64, 128}},
});

bool is_named(const MeasuredRun& run, std::string_view name) {
    return folded(run.model).find(folded(name)) != std::string::npos;
}

// Heads that are together wider or narrower than the model, as released.
constexpr auto kHeadDims = std::to_array<std::pair<std::string_view, std::int64_t>>({
    {"Qwen3", 128},
    {"gpt-oss", 64},
    {"Mistral-Nemo", 128},
    {"Mistral-Small", 128},
    {"Gemma-7B", 256},
    {"Gemma-2-27B", 128},
    {"Gemma-2", 256},
});

// "… 1 dense layer, …" in the notes of a run with fewer layers than the release.
std::optional<std::int64_t> dense_layers_in(const std::string& notes) {
    const std::size_t word = notes.find(" dense layer");
    if (word == std::string::npos || word == 0) return std::nullopt;
    const std::size_t before = notes.find_last_not_of("0123456789", word - 1);
    const std::string digits = notes.substr(before + 1, word - before - 1);
    if (digits.empty() || digits.size() > 4) return std::nullopt;
    return std::stoll(digits);
}

void set_experts(const MeasuredRun& run, TransformerSpec& spec, std::vector<Assumption>& assumed) {
    if (run.experts.value_or(1) <= 1) return;
    ExpertsSpec& experts = spec.experts;
    experts.count = *run.experts;
    experts.per_token = require(run.experts_per_token, "experts_per_token");
    experts.ffn = run.expert_ffn.value_or(spec.ffn);
    if (!run.expert_ffn) assumed.push_back({"expert_ffn", std::to_string(experts.ffn)});
    for (const Released& released : kReleased) {
        if (!is_named(run, released.name)) continue;
        experts.first_dense = dense_layers_in(run.assumptions).value_or(released.first_dense);
        experts.shared_ffn = released.shared * experts.ffn;
        spec.latent = released.latent;
        assumed.push_back(
            {"model",
             fmt::format("{}'s{} shared experts: {}, blocks without experts: {}", released.name,
                         released.latent.kv_rank > 0 ? " latent attention," : "", released.shared,
                         experts.first_dense)});
        return;
    }
}

// Of latent attention queries, keys and values have widths of their own, which no one column can state.
void set_head_dim(const MeasuredRun& run, TransformerSpec& spec, std::vector<Assumption>& assumed) {
    if (spec.latent.kv_rank > 0) return;
    if (run.head_dim) {
        spec.head_dim = *run.head_dim;
        return;
    }
    const auto* released = std::ranges::find_if(
        kHeadDims, [&](const auto& entry) { return is_named(run, entry.first); });
    if (released == kHeadDims.end() || released->second * spec.heads == spec.hidden) return;
    spec.head_dim = released->second;
    assumed.push_back({"head_dim", std::to_string(spec.head_dim)});
}

}  // namespace

ModelSpec model_of(const MeasuredRun& run, RuntimeProfile profile, int tp,
                   std::vector<Assumption>& assumed) {
    TransformerSpec spec;
    spec.layers = require(run.layers, "layers");
    spec.hidden = require(run.hidden, "hidden");
    spec.heads = require(run.heads, "heads");
    spec.seq = require(run.seq, "seq");
    spec.vocab = padded_vocabulary(require(run.vocab, "vocab"), profile, tp);
    spec.mlp = mlp_of(run, assumed);
    const bool gated = is_gated(spec.mlp);
    const auto or_usual = [&](const auto& value, const char* column, auto usual) {
        if (!value) assumed.push_back({column, std::to_string(usual)});
        return value.value_or(usual);
    };
    spec.ffn = or_usual(run.ffn, "ffn", usual_ffn(spec.hidden, gated));
    spec.kv_heads = or_usual(run.kv_heads, "kv_heads", spec.heads);
    spec.tied_embeddings = or_usual(run.tied_embeddings, "tied_embeddings", !gated);
    if (!gated) {
        spec.positions = Positions::learned;
        spec.norm = NormKind::layer_norm;
        spec.qkv_bias = spec.projection_bias = spec.mlp_bias = true;
    }
    set_experts(run, spec, assumed);
    set_head_dim(run, spec, assumed);
    return {"validation", spec};
}

}  // namespace shardscope
