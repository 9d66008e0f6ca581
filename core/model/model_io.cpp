#include "core/model/model_io.h"

#include <array>
#include <filesystem>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/catalogue.h"
#include "core/error.h"
#include "core/model/hf_import.h"
#include "core/model/model.h"
#include "core/model/model_source.h"
#include "core/model/spec_limits.h"
#include "core/model/transformer_io.h"

namespace shardscope {
namespace {

constexpr std::array<std::string_view, 6> kForms = {"gpt",    "llama",     "transformer",
                                                    "layers", "catalogue", "hf"};
enum Form : std::size_t { gpt, llama, transformer, layer_list, catalogue, hf };
constexpr std::array<std::string_view, 4> kItems = {"linear", "relu", "gelu", "layer_norm"};
using ItemKind = LayerListSpec::Kind;

// Sizes without a default.
void require_size(const YamlMap& map, std::string_view key, std::int64_t& to, IntegerRange range) {
    to = map.require(key).integer(range);
}

GptSpec read_gpt(const YamlValue& value) {
    const YamlMap map(value,
                      {"layers", "hidden", "heads", "vocab", "seq", "ffn", "tied_embeddings"});
    GptSpec spec;
    require_size(map, "layers", spec.layers, kLayers);
    require_size(map, "hidden", spec.hidden, kWidth);
    require_size(map, "heads", spec.heads, kHeads);
    require_size(map, "vocab", spec.vocab, kWidth);
    require_size(map, "seq", spec.seq, kWidth);
    spec.ffn = 4 * spec.hidden;
    map.read("ffn", spec.ffn, kWidth);
    map.read("tied_embeddings", spec.tied_embeddings);
    return spec;
}

LlamaSpec read_llama_spec(const YamlValue& value) {
    const YamlMap map(value, {"layers", "hidden", "heads", "kv_heads", "ffn", "vocab", "seq",
                              "head_dim", "tied_embeddings", "rope_theta", "norm_epsilon"});
    LlamaSpec spec;
    require_size(map, "layers", spec.layers, kLayers);
    require_size(map, "hidden", spec.hidden, kWidth);
    require_size(map, "heads", spec.heads, kHeads);
    require_size(map, "ffn", spec.ffn, kWidth);
    require_size(map, "vocab", spec.vocab, kWidth);
    require_size(map, "seq", spec.seq, kWidth);
    spec.kv_heads = spec.heads;
    map.read("kv_heads", spec.kv_heads, kHeads);
    // Where heads do not divide hidden, head_dim stays 0 and build_model says so.
    if (spec.hidden % spec.heads == 0) spec.head_dim = spec.hidden / spec.heads;
    map.read("head_dim", spec.head_dim, kWidth);
    map.read("tied_embeddings", spec.tied_embeddings);
    map.read("rope_theta", spec.rope_theta, kTheta);
    map.read("norm_epsilon", spec.norm_epsilon, kEpsilon);
    return spec;
}

void read_linear(const YamlValue& value, LayerListSpec::Item& item) {
    if (value.is_sequence()) {
        const auto sizes = value.items(2);
        item.in = sizes[0].integer(kWidth);
        item.out = sizes[1].integer(kWidth);
        return;
    }
    const YamlMap map(value, {"in", "out", "bias"});
    require_size(map, "in", item.in, kWidth);
    require_size(map, "out", item.out, kWidth);
    map.read("bias", item.bias);
}

LayerListSpec::Item read_item(const YamlValue& value) {
    LayerListSpec::Item item;
    if (!value.is_map()) {
        item.kind = static_cast<ItemKind>(value.choice(kItems, "layer"));
        if (item.kind == ItemKind::linear) {
            value.fail("type", fmt::format("{} is a linear layer without sizes", value.path()),
                       "write {linear: [IN, OUT]}");
        }
        return item;
    }
    const YamlMap map(value, {"linear", "layer_norm"});
    constexpr std::array<std::string_view, 2> kSized = {"linear", "layer_norm"};
    const YamlCase sized = map.one_of(kSized);
    if (sized.index == 0) {
        read_linear(sized.value, item);
    } else {
        item.kind = ItemKind::layer_norm;
        item.in = sized.value.integer(kWidth);
    }
    return item;
}

LayerListSpec read_layers(const YamlValue& value) {
    LayerListSpec spec;
    const auto items = value.items();
    if (items.empty() || static_cast<std::int64_t>(items.size()) > kLayers.high) {
        value.fail("range",
                   fmt::format("{} has {} layers, but must have 1 to {}", value.path(),
                               items.size(), kLayers.high),
                   "write a list such as [{linear: [784, 128]}, relu, {linear: [128, 10]}]");
    }
    for (const YamlValue& item : items) spec.items.push_back(read_item(item));
    return spec;
}

void set_seq(const YamlValue& value, ModelSpec& spec) {
    const std::int64_t seq = value.integer(kWidth);
    if (std::int64_t* const length = sequence_length(spec)) {
        *length = seq;
    } else {
        value.fail("unknown-key", fmt::format("model {} has no sequence length", spec.name),
                   "remove \"seq\"");
    }
}

ModelSpec read_form(const YamlValue& value, const std::string& folder);

ModelSpec model_from_catalogue(const YamlValue& value) {
    std::vector<std::string_view> names;
    for (const CatalogueEntry& entry : model_catalogue()) names.push_back(entry.name);
    const CatalogueEntry& entry = model_catalogue()[value.choice(names, "catalogue model")];
    ModelSpec spec =
        read_form(YamlValue::parse(std::string(entry.text), std::string(entry.path)), "");
    spec.name = entry.name;
    return spec;
}

ModelSpec from_hf(const YamlMap& map, const YamlValue& path, const std::string& folder) {
    HfOptions options;
    if (const auto seq = map.find("seq")) options.seq = seq->integer(kWidth);
    const std::filesystem::path file = std::filesystem::path(folder) / path.text();
    return load_hf_config(file.string(), options).model;
}

ModelSpec read_form(const YamlValue& value, const std::string& folder) {
    if (!value.is_map()) return model_from_catalogue(value);
    const YamlMap map(value,
                      {"gpt", "llama", "transformer", "layers", "catalogue", "hf", "name", "seq"});
    const YamlCase form = map.one_of(kForms);
    ModelSpec spec;
    spec.name = std::string(kForms[form.index]);
    switch (form.index) {
        case gpt:
            spec.kind = read_gpt(form.value);
            break;
        case llama:
            spec.kind = read_llama_spec(form.value);
            break;
        case transformer:
            spec.kind = read_transformer(form.value);
            break;
        case layer_list:
            spec.kind = read_layers(form.value);
            break;
        case hf:
            spec = from_hf(map, form.value, folder);
            break;
        default:
            spec = model_from_catalogue(form.value);
            break;
    }
    if (const auto seq = map.find("seq")) {
        if (form.index < catalogue) {
            seq->fail("unknown-key",
                      "\"seq\" beside the model changes a catalogue or hf model only",
                      fmt::format("write \"seq\" inside \"{}\"", kForms[form.index]));
        }
        if (form.index == catalogue) set_seq(*seq, spec);
    }
    if (const auto name = map.find("name")) spec.name = name->name();
    return spec;
}

nlohmann::ordered_json item_to_json(const LayerListSpec::Item& item) {
    const std::string name(kItems[static_cast<std::size_t>(item.kind)]);
    if (item.kind == ItemKind::linear) {
        return {{name, {{"in", item.in}, {"out", item.out}, {"bias", item.bias}}}};
    }
    if (item.kind == ItemKind::layer_norm && item.in > 0) return {{name, item.in}};
    return name;
}

struct KindToJson {
    nlohmann::ordered_json& out;

    void operator()(const GptSpec& s) const {
        out["gpt"] = {{"layers", s.layers},
                      {"hidden", s.hidden},
                      {"heads", s.heads},
                      {"vocab", s.vocab},
                      {"seq", s.seq},
                      {"ffn", s.ffn},
                      {"tied_embeddings", s.tied_embeddings}};
        if (s.ffn == 0) out["gpt"].erase("ffn");
    }
    void operator()(const LlamaSpec& s) const {
        out["llama"] = {{"layers", s.layers},
                        {"hidden", s.hidden},
                        {"heads", s.heads},
                        {"kv_heads", s.kv_heads},
                        {"ffn", s.ffn},
                        {"vocab", s.vocab},
                        {"seq", s.seq},
                        {"head_dim", s.head_dim},
                        {"rope_theta", s.rope_theta},
                        {"norm_epsilon", s.norm_epsilon},
                        {"tied_embeddings", s.tied_embeddings}};
        if (s.head_dim == 0) out["llama"].erase("head_dim");
    }
    void operator()(const TransformerSpec& s) const { out["transformer"] = transformer_to_json(s); }
    void operator()(const LayerListSpec& s) const {
        out["layers"] = nlohmann::ordered_json::array();
        for (const auto& item : s.items) out["layers"].push_back(item_to_json(item));
    }
};

}  // namespace

ModelSpec read_model(const YamlValue& value, const std::string& folder) {
    ModelSpec spec = read_form(value, folder);
    try {
        build_model(spec);
    } catch (const Error& e) {
        throw Error(e.rule, fmt::format("{}: {}", value.place(), e.message), e.fix, e.kind);
    }
    return spec;
}

nlohmann::ordered_json model_to_json(const ModelSpec& spec) {
    nlohmann::ordered_json out = {{"name", spec.name}};
    std::visit(KindToJson{out}, spec.kind);
    return out;
}

}  // namespace shardscope
