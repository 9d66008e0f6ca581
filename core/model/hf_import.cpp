#include "core/model/hf_import.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/error.h"
#include "core/model/builder.h"
#include "core/model/hf_families.h"
#include "core/nearest.h"
#include "core/yaml_text.h"

namespace shardscope {
namespace {

// Types that are not supported, the supported one whose structure is nearest, and what parts them.
struct Relative {
    std::string_view type, nearest, difference;
};
constexpr Relative kRelatives[] = {
    {"bloom", "gpt2", "ALiBi instead of positions"},
    {"codegen", "gpt_neox", "one norm for attention and MLP"},
    {"cohere", "llama", "parallel blocks with LayerNorm"},
    {"falcon", "gpt_neox", "other norms and multi-query attention"},
    {"gemma2", "gemma", "more norms, soft caps and sliding windows"},
    {"gemma3", "gemma", "more norms and sliding windows"},
    {"gemma3_text", "gemma", "more norms and sliding windows"},
    {"gpt_bigcode", "gpt2", "multi-query attention"},
    {"gpt_neo", "gpt2", "local attention"},
    {"gpt_oss", "mixtral", "attention sinks and experts with biases"},
    {"gptj", "gpt_neox", "one norm for attention and MLP"},
    {"granite", "llama", "multipliers at embedding, attention, residual and logits"},
    {"llama4", "mixtral", "chunked attention"},
    {"mpt", "gpt2", "ALiBi instead of positions"},
    {"olmo", "llama", "norms without weights"},
    {"olmo2", "llama", "norms behind attention and MLP"},
    {"olmoe", "qwen3_moe", "norms across all heads of a row"},
    {"phi", "gpt_neox", "one norm for attention and MLP"},
    {"phi3", "llama", "scaled rotary positions"},
    {"stablelm", "llama", "LayerNorm and partial rotary positions"},
    {"starcoder2", "gpt_neox", "grouped-query attention and sliding windows"},
    {"xglm", "opt", "sinusoidal positions"},
};

std::vector<std::string_view> family_types() {
    std::vector<std::string_view> types;
    for (const HfFamily& family : hf_families()) types.push_back(family.type);
    return types;
}

[[noreturn]] void unsupported_type(const HfConfig& config, std::string_view key,
                                   const std::string& type) {
    const std::string shown = printable(type);
    for (const Relative& relative : kRelatives)
        if (relative.type == type)
            throw Error("unsupported-model",
                        fmt::format("{}: models of type \"{}\" are not supported: {}",
                                    config.place(key), shown, relative.difference),
                        fmt::format("the nearest supported type is \"{}\"", relative.nearest));
    throw Error(
        "unsupported-model",
        fmt::format("{}: models of type \"{}\" are not supported", config.place(key), shown),
        suggest_name(type, family_types()));
}

// LlamaForCausalLM, GPT2LMHeadModel and the bare LlamaModel are what a language model may be called.
void check_architectures(HfConfig& config, const HfFamily& family) {
    const auto list = config.find("architectures");
    if (!list) return;
    for (const YamlValue& item : list->items()) {
        const std::string name = item.name();
        const std::string entity(family.entity);
        if (name == entity + "ForCausalLM" || name == entity + "LMHeadModel") {
            config.record("architectures", name);
        } else if (name == entity + "Model") {
            config.note("architectures",
                        fmt::format("{}: trained with a classifier over the vocabulary", name));
        } else {
            config.refuse(
                "architectures",
                fmt::format("\"{}\" is not a {} language model", printable(name), family.type),
                fmt::format("use a file of {}ForCausalLM", family.entity));
        }
    }
}

// By model_type, else by the architecture's name.
const HfFamily& find_family(HfConfig& config) {
    const auto type = config.find("model_type");
    if (type) {
        const std::string name = type->name();
        for (const HfFamily& family : hf_families())
            if (family.type == name) {
                config.record("model_type", name);
                return family;
            }
        unsupported_type(config, "model_type", name);
    }
    if (const auto list = config.find("architectures")) {
        const auto items = list->items();
        const std::string name = items.empty() ? "" : items.front().name();
        for (const HfFamily& family : hf_families())
            if (name.starts_with(fmt::format("{}For", family.entity)) ||
                name.starts_with(fmt::format("{}Model", family.entity)) ||
                name.starts_with(fmt::format("{}LMHead", family.entity)))
                return family;
        unsupported_type(config, "architectures", name);
    }
    throw Error("missing-key",
                fmt::format("{}: the file has no \"model_type\": it is no config.json of a model",
                            config.place("model_type")),
                fmt::format("add \"model_type\": {}", join_or([] {
                                std::vector<std::string> types;
                                for (const auto name : family_types()) types.emplace_back(name);
                                return types;
                            }())));
}

// Expands the specification once, so that impossible shapes are refused with the file's name.
TransformerSpec checked(const TransformerSpec& spec, const YamlValue& file) {
    try {
        TransformerSpec full = resolved(spec);
        build_model({"", full});
        return full;
    } catch (const Error& e) {
        throw Error(e.rule, fmt::format("{}: {}", file.place(), e.message), e.fix, e.kind);
    }
}

// "blocks.3.mlp.up.weight" as "blocks.*.mlp.up.weight".
std::string part_name(const std::string& name) {
    constexpr std::string_view kBlocks = "blocks.";
    if (!name.starts_with(kBlocks)) return name;
    return "blocks.*" + name.substr(name.find('.', kBlocks.size()));
}

}  // namespace

HfImport import_hf_config(const YamlValue& file, const HfOptions& options) {
    HfConfig config(file);
    const HfFamily& family = find_family(config);
    check_architectures(config, family);
    const TransformerSpec spec = checked(family.read(config, options), file);
    config.finish();
    HfImport imported = config.take();
    imported.model_type = family.type;
    imported.model = {imported.model_type, spec};
    return imported;
}

HfImport load_hf_config(const std::string& path, const HfOptions& options) {
    return import_hf_config(YamlValue::parse(read_text_file(path, "model configuration"), path),
                            options);
}

std::vector<ParameterPart> parts_of(const Model& model) {
    std::vector<ParameterPart> parts;
    for (const Parameter& p : model.parameters) {
        const std::string name = part_name(p.name);
        auto part = std::find_if(parts.begin(), parts.end(),
                                 [&](const ParameterPart& other) { return other.name == name; });
        if (part == parts.end()) part = parts.insert(part, {name, p.shape, 0, 0});
        ++part->copies;
        part->parameters += p.elements();
    }
    return parts;
}

}  // namespace shardscope
