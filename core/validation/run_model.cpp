#include "core/validation/run_model.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <string>

#include <fmt/format.h>

#include "core/error.h"
#include "core/model/model.h"
#include "core/nearest.h"
#include "core/validation/released_model.h"
#include "core/validation/run_notes.h"
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
    if (const ReleasedShape* released = released_shape(run)) {
        const auto* found =
            std::ranges::find(kRunMlps, released->mlp, &std::pair<std::string_view, Mlp>::second);
        return std::string(found->first);
    }
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

// Released models with experts, by what their names contain; the first is meant.
struct Released {
    std::string_view name;
    std::int64_t expert_ffn;
    // What no column says.
    std::int64_t first_dense,
        shared;  // blocks without experts; shared experts, each as wide as one
    LatentAttentionSpec latent;
    std::int64_t groups = 1, groups_per_token = 1;  // n_group, topk_group
    bool shared_gate = false;
};
constexpr LatentAttentionSpec kDeepSeekAttention{512, 1536, 128, 64, 128};
constexpr auto kReleased = std::to_array<Released>({
    {"DeepSeek-V2-Lite", 1408, 1, 2, {512, 0, 128, 64, 128}},
    {"DeepSeek-V2", 1536, 1, 2, kDeepSeekAttention, 8, 3},
    {"DeepSeek-V3", 2048, 3, 1, kDeepSeekAttention, 8, 4},
    {"DeepSeek-R1", 2048, 3, 1, kDeepSeekAttention, 8, 4},
    {"DeepSeekMoE-16B", 1408, 1, 2, {}},
    {"Qwen1.5-MoE", 1408, 0, 4, {}, 1, 1, true},
    {"Qwen2-57B-A14B", 2560, 0, 8, {}, 1, 1, true},
    {"Qwen3-30B-A3B", 768, 0, 0, {}},
    {"Qwen3-235B-A22B", 1536, 0, 0, {}},
    {"Kimi-K2", 2048, 1, 1, kDeepSeekAttention},
    {"Moonlight-16B", 1408, 1, 2, {512, 0, 128, 64, 128}},
});

// Heads that are together wider or narrower than the model, as released.
constexpr auto kHeadDims = std::to_array<std::pair<std::string_view, std::int64_t>>({
    {"Qwen3", 128},
    {"gpt-oss", 64},
    {"Mistral-Nemo", 128},
    {"Mistral-Small", 128},
    {"Gemma-7B", 256},
    {"Gemma-2-27B", 128},
    {"Gemma-2", 256},
    {"Gemma-3-27B", 128},
    {"Gemma-3", 256},
});

// "… 1 dense layer, …" in the notes of a run with fewer layers than the release.
std::int64_t dense_layers(const MeasuredRun& run, const Released& released,
                          std::vector<Assumption>& assumed) {
    constexpr double kMost = 10'000;
    const auto noted = RunNotes(run.assumptions).number_before("dense layer");
    if (!noted || *noted != std::floor(*noted) || *noted < 0 || *noted >= kMost)
        return released.first_dense;
    const auto layers = static_cast<std::int64_t>(*noted);
    assumed.push_back(
        {kFromNotes, fmt::format("{} dense layer{}", layers, layers == 1 ? "" : "s")});
    return layers;
}

void set_experts(const MeasuredRun& run, TransformerSpec& spec, std::vector<Assumption>& assumed) {
    if (run.experts.value_or(1) <= 1) return;
    const auto* const released = std::ranges::find_if(
        kReleased, [&](const Released& entry) { return is_named(run, entry.name); });
    const bool is_released = released != kReleased.end();
    ExpertsSpec& experts = spec.experts;
    experts.count = *run.experts;
    experts.per_token = require(run.experts_per_token, "experts_per_token");
    experts.ffn = run.expert_ffn.value_or(is_released ? released->expert_ffn : spec.ffn);
    if (!run.expert_ffn) assumed.push_back({"expert_ffn", std::to_string(experts.ffn)});
    if (!is_released) return;
    experts.first_dense = dense_layers(run, *released, assumed);
    experts.shared_ffn = released->shared * experts.ffn;
    experts.shared_gate = released->shared_gate;
    // A cut-down model may have too few experts for them.
    if (experts.count % released->groups == 0 &&
        experts.per_token <= experts.count / released->groups * released->groups_per_token) {
        experts.groups = released->groups;
        experts.groups_per_token = released->groups_per_token;
    }
    spec.latent = released->latent;
    if (released->shared == 0 && experts.first_dense == 0) return;
    assumed.push_back(
        {"model",
         fmt::format("{}'s{} shared experts: {}{}, blocks without experts: {}", released->name,
                     released->latent.kv_rank > 0 ? " latent attention," : "", released->shared,
                     released->shared_gate ? " with a gate" : "", experts.first_dense)});
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

// Norms and biases of a release, which have no columns.
void set_attention(const MeasuredRun& run, TransformerSpec& spec,
                   std::vector<Assumption>& assumed) {
    const ReleasedAttention* released = released_attention(run);
    if (released == nullptr) return;
    std::string parts;
    const auto set = [&](bool has, bool& part, const char* words) {
        if (!has || part) return;
        part = true;
        parts += fmt::format("{}{}", parts.empty() ? "" : ", ", words);
    };
    set(released->qk_norm, spec.qk_norm, "norms of queries and keys");
    set(released->qkv_bias, spec.qkv_bias, "biases of queries, keys and values");
    set(released->projection_bias, spec.projection_bias, "of the projection");
    set(released->router_bias && spec.experts.count > 0, spec.experts.router_bias, "of the router");
    if (!parts.empty()) assumed.push_back({"model", fmt::format("{}'s {}", released->name, parts)});
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
    const ReleasedShape* released = released_shape(run);
    spec.ffn = or_usual(run.ffn, "ffn", released ? released->ffn : usual_ffn(spec.hidden, gated));
    spec.kv_heads = or_usual(run.kv_heads, "kv_heads", released ? released->kv_heads : spec.heads);
    spec.tied_embeddings = or_usual(run.tied_embeddings, "tied_embeddings",
                                    released ? released->tied_embeddings : !gated);
    if (const auto window = attention_window(run))
        assumed.push_back(
            {"model", fmt::format("attention to all tokens in every block, not to {}", *window)});
    if (!gated) {
        spec.positions = Positions::learned;
        spec.norm = NormKind::layer_norm;
        spec.qkv_bias = spec.projection_bias = spec.mlp_bias = true;
    }
    set_experts(run, spec, assumed);
    set_head_dim(run, spec, assumed);
    set_attention(run, spec, assumed);
    return {"validation", spec};
}

}  // namespace shardscope
