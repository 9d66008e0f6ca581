#include "core/validation/framework_name.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "core/error.h"
#include "core/validation/run_words.h"

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
        std::to_array<std::string_view>({"hugging",    "face",     "llama",       "factory",
                                         "ms",         "with",     "and",         "by",
                                         "via",        "in",       "on",          "backend",
                                         "plugin",     "strategy", "primus",      "fairseq",
                                         "te",         "moe",      "transformer", "engine",
                                         "ulysses",    "tp",       "pp",          "dp",
                                         "cp",         "ep",       "sp",          "3d",
                                         "4d",         "parallel", "parallelism", "torch.compile",
                                         "compile",    "compiled", "rocm",        "cuda",
                                         "amd",        "no",       "without",     "offload",
                                         "offloading", "nvidia",   "microsoft",   "meta",
                                         "bigscience", "native",   "framework",   "training"});
    if (std::ranges::find(kFillers, part) != kFillers.end()) return true;
    // A version: "1.2", "v0.30.1"
    if (part.starts_with('v')) part.remove_prefix(1);
    return part.find('.') != std::string_view::npos &&
           part.find_first_not_of("0123456789.") == std::string_view::npos;
}

// What is made from a product, or like it.
bool is_derivation(std::string_view part) {
    constexpr auto kDerivations =
        std::to_array<std::string_view>({"based", "fork", "style", "derived", "modified"});
    return std::ranges::find(kDerivations, part) != kDerivations.end();
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

// Programs that train by another product's engine unless their name says which.
bool is_program(std::string_view written) {
    constexpr auto kPrograms =
        std::to_array<std::string_view>({"torchtitan", "torchtune", "olmo-core", "olmo", "litgpt",
                                         "lit-gpt", "llama-recipes", "llama-cookbook", "nanogpt"});
    return std::ranges::find(kPrograms, written) != kPrograms.end();
}

// A product, and one that it is a kind of, is built on, or shares its place with.
bool is_within(std::string_view product, std::string_view broader) {
    constexpr auto kWithin = std::to_array<std::pair<std::string_view, std::string_view>>({
        {"fsdp1", "fsdp"},
        {"fsdp2", "fsdp"},
        {"llm-foundry", "fsdp"},
        {"llm-foundry", "fsdp1"},
        {"megatron-fsdp", "fsdp"},
        {"megatron-fsdp", "megatron"},
        {"megatron-deepspeed", "megatron"},
        {"megatron-deepspeed", "deepspeed"},
        {"megablocks", "megatron"},
        {"nemo", "megatron"},
        {"megatron-bridge", "megatron"},
        {"megatron-bridge", "nemo"},
    });
    return product == broader ||
           std::ranges::find(kWithin, std::pair(product, broader)) != kWithin.end();
}

struct NamedProduct {
    std::string word;      // docs/validate.md's
    bool program = false;  // with an engine that it does not name
};

// The products of a name, each of as many of its parts as make one; empty where another part than a filler makes none.
std::vector<NamedProduct> products_in(std::string_view name, bool (*known)(std::string_view)) {
    const std::vector<std::string> parts = name_parts(name);
    std::vector<NamedProduct> products;
    for (std::size_t first = 0, end = 0; first < parts.size(); first = end) {
        std::string longest;
        std::string written;
        end = first + 1;
        for (std::size_t last = first; last < parts.size(); ++last) {
            written += (written.empty() ? "" : "-") + parts[last];
            const std::string word = usual_word(RunWord::framework, written);
            if (!known(word)) continue;
            longest = written;
            end = last + 1;
        }
        // Primus is one by itself alone.
        if (is_filler(parts[first]) && end == first + 1) continue;
        if (longest.empty()) return {};
        products.push_back({usual_word(RunWord::framework, longest), is_program(longest)});
    }
    return products;
}

}  // namespace

BareName bare_name(std::string_view name) {
    const std::vector<std::string> parts = name_parts(name);
    BareName bare;
    bare.wrapped = names_llama_factory(parts);
    for (const std::string& part : parts) {
        bare.wrapped = bare.wrapped || is_wrapper(part);
        bare.derived = bare.derived || is_derivation(part);
        if (is_wrapper(part) || is_filler(part) || is_derivation(part)) continue;
        bare.rest += (bare.rest.empty() ? "" : "-") + part;
    }
    return bare;
}

std::string one_product(std::string_view name, bool (*known)(std::string_view)) {
    std::vector<NamedProduct> products = products_in(name, known);
    // A program's usual engine gives way to the one beside it, unless it is a kind of that.
    const auto engines = products;
    std::erase_if(products, [&](const NamedProduct& product) {
        const auto excludes = [&](const NamedProduct& engine) {
            return !engine.program && !is_within(product.word, engine.word);
        };
        return product.program && std::ranges::any_of(engines, excludes);
    });
    if (products.empty()) return "";
    std::string narrowest = products.front().word;
    for (const NamedProduct& product : products) {
        if (is_within(narrowest, product.word)) continue;
        if (is_within(product.word, narrowest))
            narrowest = product.word;
        else if (is_within("megatron-deepspeed", narrowest) &&
                 is_within("megatron-deepspeed", product.word))
            narrowest = "megatron-deepspeed";
        else
            throw Error("framework",
                        fmt::format("framework names both {} and {}", narrowest, product.word),
                        "name the one whose engine shards and steps the model");
    }
    return narrowest;
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
