// The sections fp16, bf16 and data_types, and what gradients are sent in: DeepSpeed's
// runtime/precision_config.py and runtime/config.py.
#include <array>

#include <fmt/format.h>

#include "core/deepspeed/sections.h"

namespace shardscope {
namespace {

// A flag of a section; false where it is not given.
bool flag(const YamlMap& map, std::string_view key, std::string_view trainer,
          DeepSpeedConfig& config) {
    const auto value = find_given(map, key, trainer, config);
    return value && value->boolean();
}

// A section with `enabled` in it, if it is given; its other keys must be known.
std::optional<YamlMap> section(const YamlMap& top, std::string_view key,
                               const std::vector<std::string_view>& known,
                               DeepSpeedConfig& config) {
    const auto value = find_given(top, key, "", config);
    if (!value) return std::nullopt;
    return deepspeed_map(*value, known);
}

// DeepSpeed asks for a ZeRO stage where low-precision copies replace the fp32 ones.
void check_master(const YamlMap& map, std::string_view key, const std::string& needs_zero,
                  DeepSpeedConfig& config) {
    if (!flag(map, key, "", config)) return;
    const YamlValue value = map.require(key);
    if (config.zero.value == 0) deepspeed_refuses(value, needs_zero, "set zero_optimization.stage");
    unsupported(value, "master weights and optimizer states are always kept in fp32", "remove it");
}

// Behind bf16, which must be off where fp16 is on.
void read_fp16(const YamlMap& top, DeepSpeedConfig& config) {
    const auto map = section(
        top, "fp16",
        {"enabled", "auto_cast", "loss_scale", "initial_scale_power", "loss_scale_window",
         "hysteresis", "consecutive_hysteresis", "min_loss_scale", "fp16_master_weights_and_grads"},
        config);
    if (!map) return;
    check_master(*map, "fp16_master_weights_and_grads",
                 "Fp16_master_weights_and_grads is only supported with ZeRO Stage 1, 2, or 3.",
                 config);
    if (!flag(*map, "enabled", "fp16", config))
        return add_note(config, map->value(), "fp16 is off: its other keys have no effect");
    const YamlValue enabled = map->require("enabled");
    if (config.precision.value == DType::bf16)
        deepspeed_refuses(enabled, "bfloat16 and fp16 modes cannot be simultaneously enabled",
                          "keep \"bf16\"");
    config.precision = {DType::fp16, enabled.place()};
    add_note(config, map->value(), "fp16 is simulated only; scaling the loss takes no time");
}

void read_bf16(const YamlMap& top, DeepSpeedConfig& config) {
    if (top.find("bf16") && top.find("bfloat16"))
        top.require("bfloat16")
            .fail("one-of", "\"bf16\" and \"bfloat16\" are the same key", "keep \"bf16\"");
    const auto map = section(top, top.find("bfloat16") ? "bfloat16" : "bf16",
                             {"enabled", "immediate_grad_update", "check_grad_overflow",
                              "bf16_master_weights_and_grads", "bf16_optimizer_states"},
                             config);
    if (!map) return;
    read_setting(*map, "enabled", "bf16", config, config.precision, [](const YamlValue& value) {
        return value.boolean() ? DType::bf16 : DType::fp32;
    });
    if (flag(*map, "bf16_optimizer_states", "", config) &&
        !flag(*map, "bf16_master_weights_and_grads", "", config))
        deepspeed_refuses(
            map->require("bf16_optimizer_states"),
            config.zero.value == 0
                ? "bf16_optimizer_states is only supported with ZeRO Stage 1, 2, or 3."
                : "bf16_optimizer_states requires bf16_master_weights_and_grads to be enabled.",
            "remove it");
    check_master(*map, "bf16_master_weights_and_grads",
                 "Bf16_master_weights_and_grads is only supported with ZeRO Stage 1, 2, or 3.",
                 config);
    for (const std::string_view key : {"immediate_grad_update", "check_grad_overflow"})
        if (const auto value = find_given(*map, key, "", config)) {
            value->boolean();
            add_note(config, *value, "gradients are summed and used once per step, unchecked");
        }
}

// DeepSpeed's words for element types.
DType read_dtype(const YamlValue& value, const std::string& message) {
    const std::string word = value.text();
    if (word == "fp32") return DType::fp32;
    if (word == "bf16") return DType::bf16;
    if (word == "fp16") return DType::fp16;
    deepspeed_refuses(value, fmt::format("{} Got: {}", message, value_text(value)),
                      "use bf16, fp16 or fp32");
}

void read_data_types(const YamlMap& top, DeepSpeedConfig& config) {
    const std::string message = "Supported data types: ['fp16', 'bf16', 'fp32'].";
    const auto optional_dtype = [&](const YamlValue& value) {
        return std::optional(read_dtype(value, message));
    };
    if (const auto map = section(top, "data_types",
                                 {"grad_accum_dtype", "param_dtype", "buffer_dtype"}, config)) {
        read_setting(*map, "grad_accum_dtype", "", config, config.gradient_dtype, optional_dtype);
        const auto parameters = find_given(*map, "param_dtype", "", config);
        if (parameters && read_dtype(*parameters, message) != config.precision.value)
            unsupported(*parameters, "parameters are kept in the precision of the training",
                        fmt::format("use {}, or remove it", name_of(config.precision.value)));
        if (const auto buffers = find_given(*map, "buffer_dtype", "", config))
            add_note(config, *buffers, "models here have no buffers");
    }
    read_setting(
        top, "communication_data_type", "", config, config.communication,
        [&](const YamlValue& value) {
            return std::optional(read_dtype(value, "Invalid communication_data_type. " + message));
        });
}

}  // namespace

void read_precision(const YamlMap& top, DeepSpeedConfig& config) {
    read_bf16(top, config);
    read_fp16(top, config);
    read_data_types(top, config);
}

}  // namespace shardscope
