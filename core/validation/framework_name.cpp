#include "core/validation/framework_name.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>
#include <vector>

namespace shardscope {
namespace {

// Parts of a folded name, "zero" and "3" of "deepspeed-(zero-3)" among them; a '.' is of a version.
std::vector<std::string> name_parts(std::string_view name) {
    std::vector<std::string> parts(1);
    for (const char c : name)
        if (std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.')
            parts.back() += c;
        else if (!parts.back().empty())
            parts.emplace_back();
    if (parts.back().empty()) parts.pop_back();
    return parts;
}

bool is_wrapper(std::string_view part) {
    constexpr auto kWrappers = std::to_array<std::string_view>(
        {"accelerate", "transformers", "huggingface", "hf", "trainer", "trl", "axolotl",
         "llamafactory", "lightning", "fabric", "pytorch", "torch", "swift"});
    return std::ranges::find(kWrappers, part) != kWrappers.end();
}

// Parts of names of several words, programs whose engine the rest of the name has, and what columns say; alone they say
// nothing.
bool is_filler(std::string_view part) {
    constexpr auto kFillers =
        std::to_array<std::string_view>({"hugging",   "face",     "llama",       "factory",
                                         "ms",        "with",     "and",         "by",
                                         "via",       "in",       "on",          "backend",
                                         "plugin",    "strategy", "primus",      "fairseq",
                                         "te",        "moe",      "transformer", "engine",
                                         "ulysses",   "tp",       "pp",          "dp",
                                         "cp",        "ep",       "sp",          "3d",
                                         "4d",        "parallel", "parallelism", "torch.compile",
                                         "compile",   "compiled", "rocm",        "cuda",
                                         "amd",       "no",       "without",     "offload",
                                         "offloading"});
    if (std::ranges::find(kFillers, part) != kFillers.end()) return true;
    // A version: "1.2", "v0.30.1"
    if (part.starts_with('v')) part.remove_prefix(1);
    return part.find('.') != std::string_view::npos &&
           part.find_first_not_of("0123456789.") == std::string_view::npos;
}

bool names_llama_factory(const std::vector<std::string>& parts) {
    const auto llama = std::ranges::find(parts, "llama");
    return llama != parts.end() && llama + 1 != parts.end() && *(llama + 1) == "factory";
}

constexpr std::string_view kOnJax = "runs on JAX and XLA, whose kernels are not modelled";
constexpr auto kNotModelled = std::to_array<std::pair<std::string_view, std::string_view>>({
    {"maxtext", kOnJax},
    {"levanter", kOnJax},
    {"easylm", kOnJax},
    {"paxml", kOnJax},
    {"t5x", kOnJax},
    {"alpa", kOnJax},
    {"flax", kOnJax},
    {"jax", kOnJax},
    {"colossalai", "has engines of its own (Gemini, hybrid parallel), which are not modelled"},
    {"colossal", "has engines of its own (Gemini, hybrid parallel), which are not modelled"},
    {"neuronx", "runs on Trainium, which is not modelled"},
    {"mindspore", "runs on Ascend, which is not modelled"},
    {"mindspeed", "runs on Ascend, which is not modelled"},
    {"paddle", "has kernels and engines of its own, which are not modelled"},
    {"paddlepaddle", "has kernels and engines of its own, which are not modelled"},
    {"paddlenlp", "has kernels and engines of its own, which are not modelled"},
    {"lora", "trains adapters alone, which is not modelled"},
    {"qlora", "trains adapters alone, which is not modelled"},
    {"peft", "trains adapters alone, which is not modelled"},
    {"unsloth", "has kernels of its own, which are not modelled"},
    {"llm.c", "has kernels of its own, which are not modelled"},
});

}  // namespace

BareName bare_name(std::string_view name) {
    const std::vector<std::string> parts = name_parts(name);
    BareName bare;
    bare.wrapped = names_llama_factory(parts);
    for (const std::string& part : parts) {
        bare.wrapped = bare.wrapped || is_wrapper(part);
        if (is_wrapper(part) || is_filler(part)) continue;
        bare.rest += (bare.rest.empty() ? "" : "-") + part;
    }
    return bare;
}

bool reduces_as_it_computes(std::string_view name) {
    constexpr auto kPrograms = std::to_array<std::string_view>(
        {"accelerate", "transformers", "huggingface", "hf", "trainer", "trl", "axolotl",
         "llamafactory", "lightning", "fabric", "swift"});
    const std::vector<std::string> parts = name_parts(name);
    return names_llama_factory(parts) ||
           std::ranges::find_first_of(parts, kPrograms) != parts.end();
}

std::string_view why_not_modelled(std::string_view name) {
    const std::vector<std::string> parts = name_parts(name);
    const auto* found = std::ranges::find_if(kNotModelled, [&](const auto& entry) {
        return std::ranges::find(parts, entry.first) != parts.end();
    });
    return found == kNotModelled.end() ? std::string_view() : found->second;
}

}  // namespace shardscope
