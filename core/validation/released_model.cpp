#include "core/validation/released_model.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

namespace shardscope {
namespace {

// As their config.json on Hugging Face has them. Of several names that fit the first is meant.
constexpr auto kReleasedShapes = std::to_array<ReleasedShape>({
    {"Llama-2", 32, 4096, 11008, 32},
    {"Llama-2", 40, 5120, 13824, 40},
    {"Llama-2", 80, 8192, 28672, 8},
    {"Llama-3", 16, 2048, 8192, 8, Mlp::swiglu, true},
    {"Llama-3", 28, 3072, 8192, 8, Mlp::swiglu, true},
    {"Llama-3", 32, 4096, 14336, 8},
    {"Llama-3", 80, 8192, 28672, 8},
    {"Llama-3", 126, 16384, 53248, 8},
    {"TinyLlama", 22, 2048, 5632, 4},
    {"Mistral-7B", 32, 4096, 14336, 8},
    {"Mixtral", 32, 4096, 14336, 8},
    {"Mixtral", 56, 6144, 16384, 8},
    {"Qwen2", 24, 896, 4864, 2, Mlp::swiglu, true},
    {"Qwen2", 28, 1536, 8960, 2, Mlp::swiglu, true},
    {"Qwen2.5", 36, 2048, 11008, 2, Mlp::swiglu, true},
    {"Qwen2", 28, 3584, 18944, 4},
    {"Qwen2.5", 48, 5120, 13824, 8},
    {"Qwen2.5", 64, 5120, 27648, 8},
    {"Qwen2", 80, 8192, 29568, 8},
    {"Qwen3", 28, 1024, 3072, 8, Mlp::swiglu, true},
    {"Qwen3", 28, 2048, 6144, 8, Mlp::swiglu, true},
    {"Qwen3", 36, 2560, 9728, 8, Mlp::swiglu, true},
    {"Qwen3", 36, 4096, 12288, 8},
    {"Qwen3", 40, 5120, 17408, 8},
    {"Qwen3", 64, 5120, 25600, 8},
    {"Qwen3", 48, 2048, 6144, 4},
    {"Qwen3", 94, 4096, 12288, 4},
    {"Gemma-2", 26, 2304, 9216, 4, Mlp::geglu, true},
    {"Gemma-2", 42, 3584, 14336, 8, Mlp::geglu, true},
    {"Gemma-2", 46, 4608, 36864, 16, Mlp::geglu, true},
    {"Gemma", 18, 2048, 16384, 1, Mlp::geglu, true},
    {"Gemma", 28, 3072, 24576, 16, Mlp::geglu, true},
    {"Phi-3", 32, 3072, 8192, 32},
    {"Phi-3", 40, 5120, 17920, 10},
    {"Phi-4", 40, 5120, 17920, 10},
});

// As transformers' modeling_*.py of these types have it; core/model/hf_families.cpp reads the same of config.json.
constexpr auto kReleasedAttentions = std::to_array<ReleasedAttention>({
    {.name = "Qwen3", .qk_norm = true},
    {.name = "Qwen2.5", .qkv_bias = true},
    {.name = "Qwen2", .qkv_bias = true},
    {.name = "Qwen1.5", .qkv_bias = true},
    {.name = "Gemma-3", .qk_norm = true},
    {.name = "gpt-oss", .qkv_bias = true, .projection_bias = true, .router_bias = true},
});

constexpr auto kAttentionWindows = std::to_array<std::pair<std::string_view, std::int64_t>>(
    {{"gpt-oss", 128}, {"Gemma-2", 4096}, {"Gemma-3", 1024}, {"Mistral-7B-v0.1", 4096}});

bool is_separator(char c) { return c == '-' || c == '_' || c == '.' || c == ' '; }

// How many characters of a text's beginning are a name; 0: they are not.
std::size_t named_length(std::string_view text, std::string_view name) {
    const auto lower = [](char c) { return std::tolower(static_cast<unsigned char>(c)); };
    std::size_t at = 0;
    for (const char c : name) {
        if (is_separator(c)) continue;
        while (at > 0 && at < text.size() && is_separator(text[at])) ++at;
        if (at == text.size() || lower(text[at]) != lower(c)) return 0;
        ++at;
    }
    return at;
}

}  // namespace

bool is_named(const MeasuredRun& run, std::string_view name) {
    const std::string_view model = run.model;
    for (std::size_t first = 0; first < model.size(); ++first) {
        const std::size_t length = named_length(model.substr(first), name);
        if (length == 0) continue;
        const char next = first + length < model.size() ? model[first + length] : ' ';
        const bool goes_on =
            std::isdigit(static_cast<unsigned char>(next)) != 0 || next == 'b' || next == 'B';
        if (!goes_on || std::isdigit(static_cast<unsigned char>(name.back())) == 0) return true;
    }
    return false;
}

const ReleasedShape* released_shape(const MeasuredRun& run) {
    const auto* found = std::ranges::find_if(kReleasedShapes, [&](const ReleasedShape& shape) {
        return run.layers == shape.layers && run.hidden == shape.hidden &&
               is_named(run, shape.name);
    });
    return found == kReleasedShapes.end() ? nullptr : found;
}

const ReleasedAttention* released_attention(const MeasuredRun& run) {
    const auto* found = std::ranges::find_if(
        kReleasedAttentions,
        [&](const ReleasedAttention& attention) { return is_named(run, attention.name); });
    return found == kReleasedAttentions.end() ? nullptr : found;
}

std::optional<std::int64_t> attention_window(const MeasuredRun& run) {
    for (const auto& [name, tokens] : kAttentionWindows)
        if (run.seq.value_or(0) > tokens && is_named(run, name)) return tokens;
    return std::nullopt;
}

}  // namespace shardscope
