#include "core/training_io.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace shardscope {
namespace {

constexpr IntegerRange kSamples{1, 1'000'000'000'000};
constexpr IntegerRange kSteps{1, 1'000'000'000};
constexpr NumberRange kTokens{0, 1e18, true};
constexpr NumberRange kInterval{1, 1e9};  // seconds

constexpr std::array<std::string_view, 4> kPrecisions = {"fp32", "fp64", "bf16", "fp16"};
constexpr auto kOptimizers = [] {
    std::array<std::string_view, kOptimizerKinds.size()> names;
    std::ranges::transform(kOptimizerKinds, names.begin(),
                           [](OptimizerKind kind) { return name_of(kind); });
    return names;
}();

// The defaults of PyTorch, bitsandbytes' AdamW8bit and Lion's authors where OptimizerSpec cannot hold them,
// because they differ between kinds.
OptimizerSpec defaults_of(OptimizerKind kind) {
    OptimizerSpec spec;
    spec.kind = kind;
    switch (kind) {
        case OptimizerKind::adamw:
        case OptimizerKind::adam_8bit:
            spec.weight_decay = 0.01;
            break;
        case OptimizerKind::lion:
            spec.lr = 1e-4;
            spec.beta2 = 0.99;
            break;
        case OptimizerKind::adafactor:
            spec.lr = 0.01;
            spec.beta1 = 0;
            break;
        case OptimizerKind::muon:
            spec.weight_decay = 0.1;
            spec.momentum = 0.95;
            break;
        case OptimizerKind::adam:
        case OptimizerKind::sgd:
            break;
    }
    return spec;
}

// The keys of an optimizer's map, in the order in which they are written.
std::vector<std::string_view> keys_of(OptimizerKind kind) {
    switch (kind) {
        case OptimizerKind::sgd:
            return {"lr", "momentum", "weight_decay"};
        case OptimizerKind::lion:
            return {"lr", "betas", "weight_decay"};
        case OptimizerKind::adafactor:
            return {"lr", "beta1", "weight_decay"};
        case OptimizerKind::muon:
            return {"lr", "momentum", "betas", "epsilon", "weight_decay"};
        case OptimizerKind::adamw:
        case OptimizerKind::adam:
        case OptimizerKind::adam_8bit:
            break;
    }
    return {"lr", "betas", "epsilon", "weight_decay"};
}

void read_betas(const YamlMap& map, OptimizerSpec& spec) {
    if (const auto betas = map.find("betas")) {
        for (const std::string_view key : {"beta1", "beta2"}) {
            if (const auto beta = map.find(key)) {
                beta->fail("one-of", fmt::format("both \"betas\" and \"{}\" are given", key),
                           "keep one of the two");
            }
        }
        const auto pair = betas->items(2);
        spec.beta1 = pair[0].number(kBetaRange);
        spec.beta2 = pair[1].number(kBetaRange);
    }
    map.read("beta1", spec.beta1, kBetaRange);
    map.read("beta2", spec.beta2, kBetaRange);
}

// Where the keys of an optimizer start from: `defaults` if they are for this kind, and without weight decay
// Adam and AdamW are the same.
OptimizerSpec spec_to_start_from(OptimizerKind kind, const OptimizerSpec& defaults) {
    const auto is_adam = [](OptimizerKind k) {
        return k == OptimizerKind::adam || k == OptimizerKind::adamw;
    };
    const bool same_adam = is_adam(kind) && is_adam(defaults.kind) && defaults.weight_decay == 0;
    if (kind != defaults.kind && !same_adam) return defaults_of(kind);
    OptimizerSpec spec = defaults;
    spec.kind = kind;
    return spec;
}

OptimizerSpec read_optimizer_spec(const YamlValue& value, const OptimizerSpec& defaults) {
    if (!value.is_map()) {
        const std::size_t kind = value.choice(kOptimizers, "optimizer");
        return spec_to_start_from(static_cast<OptimizerKind>(kind), defaults);
    }
    const YamlCase form =
        YamlMap(value, {kOptimizers.begin(), kOptimizers.end()}).one_of(kOptimizers);
    OptimizerSpec spec = spec_to_start_from(static_cast<OptimizerKind>(form.index), defaults);
    std::vector<std::string_view> keys = keys_of(spec.kind);
    const auto has = [&](std::string_view key) {
        return std::ranges::find(keys, key) != keys.end();
    };
    const bool betas = has("betas"), beta1 = has("beta1");
    if (betas) keys.insert(keys.end(), {"beta1", "beta2"});
    const YamlMap map(form.value, keys);
    map.read("lr", spec.lr, kRateRange);
    if (has("momentum")) map.read("momentum", spec.momentum, kRateRange);
    if (betas) read_betas(map, spec);
    if (beta1) map.read("beta1", spec.beta1, kBetaRange);
    if (has("epsilon")) map.read("epsilon", spec.epsilon, kEpsilonRange);
    map.read("weight_decay", spec.weight_decay, kRateRange);
    return spec;
}

nlohmann::ordered_json optimizer_to_json(const OptimizerSpec& s) {
    nlohmann::ordered_json out;
    auto& body = out[std::string(name_of(s.kind))];
    for (const std::string_view key : keys_of(s.kind)) {
        auto& value = body[std::string(key)];
        if (key == "betas")
            value = {s.beta1, s.beta2};
        else
            value = key == "lr"         ? s.lr
                    : key == "momentum" ? s.momentum
                    : key == "beta1"    ? s.beta1
                    : key == "epsilon"  ? s.epsilon
                                        : s.weight_decay;
    }
    return out;
}

// Gradients are kept as the parameters are, or wider.
DType read_gradient_dtype(const YamlValue& value, DType precision) {
    const DType dtype = read_precision(value);
    const bool half = size_of(precision) == 2;
    if (dtype == precision || (half && dtype == DType::fp32)) return dtype;
    value.fail("gradient-dtype",
               fmt::format("gradients in {} do not go with precision {}", name_of(dtype),
                           name_of(precision)),
               half ? fmt::format("use {} or fp32", name_of(precision))
                    : fmt::format("use {} or remove the key", name_of(precision)));
}

// One word says how numbers are stored and what multiplies compute in.
void read_training_precision(const YamlValue& value, TrainingSpec& spec) {
    std::array<std::string_view, kTrainingPrecisions.size()> names;
    std::ranges::transform(kTrainingPrecisions, names.begin(),
                           [](MathType math) { return name_of(math); });
    spec.set_precision(kTrainingPrecisions[value.choice(names, "precision")]);
}

std::string resolved_path(const std::string& folder, const YamlValue& value) {
    const std::string path = value.text();
    return path.front() == '/' ? path : folder + path;
}

std::string relative(const std::string& folder, const std::string& path) {
    const bool inside = path.starts_with(folder) && path.size() > folder.size();
    // "folder//x" would come back as the absolute path "/x".
    return inside && path[folder.size()] != '/' ? path.substr(folder.size()) : path;
}

}  // namespace

DType read_precision(const YamlValue& value) {
    return static_cast<DType>(value.choice(kPrecisions, "precision"));
}

std::optional<std::int64_t> read_micro_batch(const YamlValue& value) {
    if (value.is_word("auto")) return std::nullopt;
    return value.integer(kBatchRange);
}

TrainingDefaults::TrainingDefaults() { spec.optimizer = defaults_of(OptimizerKind::adamw); }

TrainingSpec read_training(const YamlValue& value, const TrainingDefaults& defaults) {
    const YamlMap map(value,
                      {"global_batch", "micro_batch", "steps", "tokens", "checkpoint_interval",
                       "precision", "gradient_dtype", "optimizer", "clip", "seed"});
    TrainingSpec spec = defaults.spec;
    if (defaults.needs_batch || map.find("global_batch"))
        spec.global_batch = map.require("global_batch").integer(kBatchRange);
    if (const auto found = map.find("micro_batch")) {
        spec.micro_batch = read_micro_batch(*found).value_or(0);
    }
    map.read("steps", spec.steps, kSteps);
    map.read("tokens", spec.tokens, kTokens);
    if (const auto found = map.find("checkpoint_interval"); found && !found->is_word("auto"))
        spec.checkpoint_interval = Seconds(found->number(kInterval, QuantityUnit::seconds));
    if (const auto found = map.find("precision")) read_training_precision(*found, spec);
    if (const auto found = map.find("gradient_dtype"); found && !found->is_word("auto")) {
        spec.gradient_dtype = read_gradient_dtype(*found, spec.precision);
    }
    if (const auto found = map.find("optimizer"))
        spec.optimizer = read_optimizer_spec(*found, defaults.spec.optimizer);
    map.read("clip", spec.clip, kClipRange);
    if (const auto found = map.find("seed")) spec.seed = found->seed();
    return spec;
}

DataSpec read_data(const YamlValue& value, const std::string& folder) {
    constexpr std::array<std::string_view, 4> kForms = {"text", "tokens", "idx", "synthetic"};
    if (value.is_word("synthetic")) return SyntheticData{};
    const YamlCase form = YamlMap(value, {"text", "tokens", "idx", "synthetic"}).one_of(kForms);
    switch (form.index) {
        case 0:
            return TextData{resolved_path(folder, form.value)};
        case 1:
            return TokenData{resolved_path(folder, form.value)};
        case 2: {
            const auto files = form.value.items(2);
            return IdxData{resolved_path(folder, files[0]), resolved_path(folder, files[1])};
        }
        default:
            break;
    }
    SyntheticData synthetic;
    YamlMap(form.value, {"samples"}).read("samples", synthetic.samples, kSamples);
    return synthetic;
}

nlohmann::ordered_json training_to_json(const TrainingSpec& spec) {
    nlohmann::ordered_json out;
    out["global_batch"] = spec.global_batch;
    out["micro_batch"] = "auto";
    if (spec.micro_batch > 0) out["micro_batch"] = spec.micro_batch;
    out["steps"] = spec.steps;
    if (spec.tokens > 0) out["tokens"] = spec.tokens;
    if (spec.checkpoint_interval) out["checkpoint_interval"] = spec.checkpoint_interval->value;
    out["precision"] = name_of(spec.arithmetic());
    out["gradient_dtype"] = spec.gradient_dtype ? name_of(*spec.gradient_dtype) : "auto";
    out["optimizer"] = optimizer_to_json(spec.optimizer);
    out["clip"] = spec.clip;
    out["seed"] = spec.seed;
    return out;
}

nlohmann::ordered_json data_to_json(const DataSpec& spec, const std::string& folder) {
    nlohmann::ordered_json out;
    if (const auto* text = std::get_if<TextData>(&spec)) {
        out["text"] = relative(folder, text->path);
    } else if (const auto* tokens = std::get_if<TokenData>(&spec)) {
        out["tokens"] = relative(folder, tokens->path);
    } else if (const auto* idx = std::get_if<IdxData>(&spec)) {
        out["idx"] = {relative(folder, idx->images), relative(folder, idx->labels)};
    } else {
        const std::int64_t samples = std::get<SyntheticData>(spec).samples;
        out["synthetic"] = nlohmann::ordered_json::object();
        if (samples > 0) out["synthetic"]["samples"] = samples;
    }
    return out;
}

}  // namespace shardscope
