// The section optimizer: DeepSpeed's runtime/engine.py, _configure_basic_optimizer, and the defaults of
// its FusedAdam and FusedLion and of PyTorch's AdamW and SGD.
#include <algorithm>
#include <array>
#include <cctype>

#include <fmt/format.h>

#include "core/deepspeed/json.h"
#include "core/deepspeed/sections.h"
#include "core/nearest.h"
#include "core/training_io.h"

namespace shardscope {
namespace {

constexpr std::array<std::string_view, 8> kOtherNames = {
    "adagrad", "lamb", "onebitadam", "zerooneadam", "onebitlamb", "muadam", "muadamw", "musgd"};
constexpr std::array<std::string_view, 4> kNames = {"Adam", "AdamW", "Lion", "SGD"};

std::string lower_case(std::string text) {
    for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return text;
}

enum class Family { adam, adamw, sgd, lion };

// Names of DeepSpeed's own are read in any case; any other one is PyTorch's, as it is spelt there.
Family family_of(const YamlValue& type, const DeepSpeedConfig& config) {
    const std::string name = type.text();
    const std::string folded = lower_case(name);
    if (folded == "adam") return Family::adam;
    if (folded == "adamw") return Family::adamw;
    if (folded == "lion") return Family::lion;
    if (name == "SGD") return Family::sgd;
    const bool one_bit = folded.starts_with("onebit") || folded == "zerooneadam";
    if (one_bit && config.zero.value > 0)
        deepspeed_refuses(type, "1bit-Adam is not compatible with ZeRO",
                          "use \"Adam\", or zero_optimization.stage 0");
    const std::string use = "use \"Adam\", \"AdamW\", \"Lion\" or \"SGD\"";
    if (folded == "muon")
        unsupported(type, "DeepSpeed's Muon is not read",
                    use + ", or a strategy without this file and \"optimizer: muon\"");
    if (std::ranges::find(kOtherNames, folded) != kOtherNames.end())
        unsupported(type, fmt::format("the optimizer {} is not there", value_text(type)), use);
    const auto near = nearest_name(name, kNames);
    type.fail("unknown-name",
              fmt::format("{}: there is no optimizer \"{}\"", type.path(), value_text(type)),
              near ? fmt::format("use \"{}\"", *near) : use);
}

class ParameterReader {
public:
    ParameterReader(const YamlMap& map, DeepSpeedConfig& config, DeepSpeedOptimizer& optimizer)
        : map_(map), config_(config), optimizer_(optimizer) {}

    void read_adam(Family family) {
        const bool torch = flag("torch_adam");
        const auto adam_w = find_given(map_, "adam_w_mode", "", config_);
        const bool decoupled = family == Family::adamw || !adam_w || adam_w->boolean();
        optimizer_.kind.value = decoupled ? OptimizerKind::adamw : OptimizerKind::adam;
        if (torch && decoupled) optimizer_.weight_decay.value = 0.01;  // torch.optim.AdamW's
        read_betas();
        number("eps", "adam_epsilon", kEpsilonRange, optimizer_.epsilon);
        if (flag("amsgrad")) refuse("amsgrad", "the AMSGrad variant of Adam is not there");
        if (const auto value = find_given(map_, "bias_correction", "", config_);
            value && !value->boolean())
            unsupported(*value, "Adam without bias correction is not there", "remove it");
    }

    void read_lion() {
        optimizer_.kind.value = OptimizerKind::lion;
        optimizer_.beta2.value = 0.99;
        read_betas();
    }

    void read_sgd() {
        number("momentum", "", kRateRange, optimizer_.momentum);
        if (const auto value = find_given(map_, "dampening", "", config_);
            value && value->number(kRateRange) != 0)
            unsupported(*value, "SGD with dampening is not there", "remove it");
        if (flag("nesterov")) refuse("nesterov", "Nesterov momentum is not there");
    }

    void read_common() {
        number("lr", "learning_rate", kRateRange, optimizer_.lr);
        number("weight_decay", "weight_decay", kRateRange, optimizer_.weight_decay);
        for (const std::string_view key : {"set_grad_none", "foreach", "fused"})
            if (const auto value = find_given(map_, key, "", config_))
                add_note(config_, *value,
                         "the update is one kernel, and gradients are overwritten");
    }

private:
    bool flag(std::string_view key) {
        const auto value = find_given(map_, key, "", config_);
        return value && value->boolean();
    }
    void refuse(std::string_view key, const std::string& what) {
        unsupported(map_.require(key), what, "remove it");
    }
    void number(std::string_view key, std::string_view trainer, NumberRange range,
                Setting<double>& to) {
        read_setting(map_, key, trainer, config_, to,
                     [&](const YamlValue& value) { return value.number(range); });
    }
    void read_betas() {
        const auto betas = find_given(map_, "betas", "adam_beta1 and adam_beta2", config_);
        optimizer_.beta1.is_auto = optimizer_.beta2.is_auto = is_auto(map_, "betas");
        if (!betas) return;
        const auto pair = betas->items(2);
        optimizer_.beta1 = {pair[0].number(kBetaRange), pair[0].place()};
        optimizer_.beta2 = {pair[1].number(kBetaRange), pair[1].place()};
    }

    const YamlMap& map_;
    DeepSpeedConfig& config_;
    DeepSpeedOptimizer& optimizer_;
};

std::vector<std::string_view> parameter_names(Family family) {
    if (family == Family::sgd)
        return {"lr",       "momentum",      "dampening", "weight_decay",
                "nesterov", "max_grad_norm", "foreach",   "fused"};
    if (family == Family::lion)
        return {"lr", "betas", "weight_decay", "set_grad_none", "max_grad_norm"};
    return {"lr",
            "betas",
            "eps",
            "weight_decay",
            "adam_w_mode",
            "amsgrad",
            "bias_correction",
            "torch_adam",
            "set_grad_none",
            "max_grad_norm",
            "foreach",
            "fused"};
}

void check_untested(const YamlMap& top, const YamlValue& type, Family family,
                    DeepSpeedConfig& config) {
    const auto allowed = find_given(top, "zero_allow_untested_optimizer", "", config);
    if (allowed && allowed->boolean()) return;
    if (config.zero.value == 0 || family != Family::sgd) return;
    deepspeed_refuses(type,
                      "You are using an untested ZeRO Optimizer. Please add "
                      "<\"zero_allow_untested_optimizer\": true> in the configuration file to use "
                      "it.",
                      "add it, or use \"AdamW\"");
}

DeepSpeedOptimizer optimizer_of(const YamlMap& section, const YamlValue& type, Family family,
                                DeepSpeedConfig& config) {
    DeepSpeedOptimizer optimizer;
    optimizer.kind = {OptimizerKind::sgd, type.place()};
    const auto given = find_given(section, "params", "", config);
    const YamlValue params = given ? *given : parse_deepspeed_json("{}", config.file);
    const YamlMap map = deepspeed_map(params, parameter_names(family));
    if (const auto norm = map.find("max_grad_norm"))
        deepspeed_refuses(*norm,
                          "'max_grad_norm' is not supported as an optimizer parameter, please "
                          "switch to using the deepspeed parameter 'gradient_clipping'",
                          "write \"gradient_clipping\" at the top level");
    ParameterReader reader(map, config, optimizer);
    if (family == Family::sgd)
        reader.read_sgd();
    else if (family == Family::lion)
        reader.read_lion();
    else
        reader.read_adam(family);
    reader.read_common();
    return optimizer;
}

}  // namespace

void read_optimizer(const YamlMap& top, DeepSpeedConfig& config) {
    const auto value = find_given(top, "optimizer", "", config);
    const auto section =
        value ? std::optional(deepspeed_map(*value, {"type", "params", "legacy_fusion"}))
              : std::nullopt;
    const auto type = section ? find_given(*section, "type", "", config) : std::nullopt;
    if (!type) {
        config.notes.push_back({value ? value->place() : "", "optimizer",
                                "DeepSpeed takes the optimizer that the script passes; here the "
                                "scenario's, or its default"});
        return;
    }
    const Family family = family_of(*type, config);
    check_untested(top, *type, family, config);
    config.optimizer = optimizer_of(*section, *type, family, config);
    if (family == Family::adam && config.optimizer->kind.value == OptimizerKind::adamw)
        add_note(config, *type,
                 "DeepSpeed's Adam is AdamW (weight_decay is decoupled) unless params has "
                 "\"adam_w_mode\": false");
    if (const auto fusion = find_given(*section, "legacy_fusion", "", config))
        add_note(config, *fusion, "the update is one kernel");
}

}  // namespace shardscope
