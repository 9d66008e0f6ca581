// Keys of the top level that have no effect here, or would have one that cannot be had.
#include <array>

#include <fmt/format.h>

#include "core/deepspeed/sections.h"

namespace shardscope {
namespace {

struct Key {
    std::string_view name;
    std::string_view text;
};

constexpr std::string_view kReports = "figures are in the report: --json, --csv";
constexpr std::string_view kNoCheckpoints = "no checkpoints are read or written";

// Whatever their value: neither memory nor results depend on it.
constexpr std::array<Key, 28> kNoEffect{{
    {"steps_per_print", "reports hold the loss of every step"},
    {"wall_clock_breakdown", "every report has the parts of a step"},
    {"memory_breakdown", "every report has memory by category"},
    {"dump_state", "`shardscope show` prints everything"},
    {"log_level", "there is no log"},
    {"tensorboard", kReports},
    {"wandb", kReports},
    {"csv_monitor", kReports},
    {"comet", kReports},
    {"flops_profiler", "`shardscope show --model` counts operations"},
    {"comms_logger", "--trace shows every collective"},
    {"timers", "--trace shows every instruction"},
    {"autotuning", "strategies to compare are listed in the scenario"},
    {"aio", "how fast NVMe is, is the cluster's: host.nvme"},
    {"nebula", kNoCheckpoints},
    {"datastates_ckpt", kNoCheckpoints},
    {"checkpoint", kNoCheckpoints},
    {"dataloader_drop_last", "every step has a whole batch"},
    {"compile", "kernels are this program's own"},
    {"graph_harvesting", "kernels are this program's own"},
    {"vocabulary_size", "the model's vocabulary counts"},
    {"disable_allgather", "updated parameters always come back by all-gathers"},
    {"zero_force_ds_cpu_optimizer", "what is offloaded is stepped as DeepSpeedCPUAdam does"},
    {"use_data_before_expert_parallelism", "there are no experts"},
    {"managed_gradient_accumulation", "micro-batches are always accumulated"},
    {"seq_parallel_comm_data_type", "there is no sequence parallelism over data-parallel ranks"},
    {"eigenvalue", "only quantize_training uses it"},
    {"prescale_gradients", "gradients are averaged after their sum; this changes rounding only"},
}};

// Sections with `enabled`, or flags: off they have no effect, on they cannot be had.
constexpr std::array<Key, 9> kOff{{
    {"amp", "mixed precision by amp is not there"},
    {"torch_autocast", "mixed precision by autocast is not there"},
    {"sparse_gradients", "sparse gradients are not there"},
    {"progressive_layer_drop", "layers cannot be dropped"},
    {"curriculum_learning", "a curriculum of lengths is not there"},
    {"data_efficiency", "data sampling and layer drop are not there"},
    {"quantize_training", "quantised training is not there"},
    {"elasticity", "the batch cannot follow the number of ranks"},
    {"hybrid_engine", "inference during training is not there"},
}};

// Sections that ask for something by being there.
constexpr std::array<Key, 4> kAbsent{{
    {"sparse_attention", "sparse attention is not there"},
    {"compression_training", "compression is not there"},
    {"expert_parallel", "experts are not there"},
    {"weight_quantization", "quantised weights are not there"},
}};

// Those that the functions below read.
constexpr std::array<std::string_view, 7> kRead = {"scheduler",
                                                   "activation_checkpointing",
                                                   "pipeline",
                                                   "tensor_parallel",
                                                   "gradient_allreduce_op",
                                                   "gradient_predivide_factor",
                                                   "sequence_parallel_size"};

bool enabled(const YamlValue& value, DeepSpeedConfig& config) {
    if (!value.is_map()) return value.boolean();
    const auto flag = find_given(YamlMap::open(value), "enabled", "", config);
    return flag && flag->boolean();
}

void read_off(const YamlMap& top, const Key& key, DeepSpeedConfig& config) {
    const auto value = find_given(top, key.name, "", config);
    if (!value) return;
    if (!enabled(*value, config)) {
        add_note(config, *value, "it is off");
        return;
    }
    if (key.name == "amp" && config.zero.value > 0)
        deepspeed_refuses(*value, "Amp and ZeRO are not currently compatible",
                          "use \"bf16\": {\"enabled\": true}");
    unsupported(*value, std::string(key.text), "remove it");
}

// Learning rates are constant here.
void read_scheduler(const YamlMap& top, DeepSpeedConfig& config) {
    const auto value = find_given(top, "scheduler", "", config);
    if (!value) return;
    const YamlMap map = deepspeed_map(*value, {"type", "params"});
    const auto type = find_given(map, "type", "", config);
    if (type)
        unsupported(*type, fmt::format("{}: the learning rate is constant here", value_text(*type)),
                    "remove \"scheduler\"");
}

void read_checkpointing(const YamlMap& top, DeepSpeedConfig& config) {
    const auto value = find_given(top, "activation_checkpointing", "", config);
    if (!value) return;
    const YamlMap map = deepspeed_map(
        *value, {"partition_activations", "cpu_checkpointing", "contiguous_memory_optimization",
                 "number_checkpoints", "synchronize_checkpoint_boundary", "profile"});
    const auto divided = find_given(map, "partition_activations", "", config);
    if (divided && divided->boolean())
        unsupported(*divided, "kept activations stay where they are, whole", "remove it");
    const auto offloaded = find_given(map, "cpu_checkpointing", "", config);
    if (offloaded && offloaded->boolean()) {
        config.offload_activations = {OffloadTo::cpu, offloaded->place()};
        add_note(config, *offloaded,
                 "taken as deepspeed.checkpointing around every block: recompute: full, "
                 "offload: {activations: cpu}");
        return;
    }
    add_note(config, *value,
             "it only steers deepspeed.checkpointing, which a model's code calls; here a strategy "
             "says recompute: full");
}

void read_pipeline(const YamlMap& top, DeepSpeedConfig& config) {
    const auto value = find_given(top, "pipeline", "", config);
    if (!value) return;
    const YamlMap map = deepspeed_map(
        *value, {"stages", "partition", "seed_layers", "activation_checkpoint_interval",
                 "pipe_partitioned", "grad_partitioned", "use_reentrant"});
    if (const auto interval = find_given(map, "activation_checkpoint_interval", "", config)) {
        const std::int64_t every = whole_number(*interval, {0, 1'000'000});
        if (every > 1)
            unsupported(*interval,
                        fmt::format("segments of {} layers cannot be recomputed together", every),
                        "use 1, which is recompute: full, or 0");
        if (every == 1) config.recompute = {{Recompute::Kind::full, 1}, interval->place()};
    }
    for (const std::string_view key : {"stages", "partition"})
        if (const auto given = find_given(map, key, "", config))
            add_note(config, *given,
                     fmt::format("DeepSpeed takes it from PipelineModule; here a strategy says {}",
                                 key == "stages" ? "pp" : "partition"));
    for (const std::string_view key : {"seed_layers", "pipe_partitioned", "grad_partitioned"})
        if (const auto given = find_given(map, key, "", config))
            add_note(config, *given,
                     "transfers between stages are whole, and weights seeded by name");
}

void read_tensor_parallel(const YamlMap& top, DeepSpeedConfig& config) {
    const auto value = find_given(top, "tensor_parallel", "", config);
    if (!value) return;
    const YamlMap map = deepspeed_map(
        *value, {"dtype", "autotp_size", "tp_overlap_comm", "tp", "tensor_parallel",
                 "injection_policy_tuple", "partition_config", "preset_model",
                 "keep_module_on_host", "kernel_inject", "replace_with_kernel_inject"});
    if (const auto size = find_given(map, "autotp_size", "", config)) {
        const auto degree = static_cast<int>(whole_number(*size, {0, 1'000'000}));
        config.tp = {std::max(degree, 1), size->place()};
    }
    for (const YamlValue& key : map.keys())
        if (key.text() != "autotp_size")
            add_note(config, map.require(key.text()),
                     "how layers are divided is this program's own");
}

void read_gradient_scale(const YamlMap& top, DeepSpeedConfig& config) {
    if (const auto op = find_given(top, "gradient_allreduce_op", "", config)) {
        const std::string word = op->text();
        if (word == "sum" && config.zero.value == 3)
            deepspeed_refuses(*op, "gradient_allreduce_op='sum' is not supported with ZeRO stage 3",
                              "use \"mean\"");
        if (word == "sum") unsupported(*op, "gradients are always averaged", "use \"mean\"");
        if (word != "mean")
            deepspeed_refuses(*op,
                              fmt::format("Invalid gradient_allreduce_op. Supported operations: "
                                          "['mean', 'sum']. Got: '{}'",
                                          value_text(*op)),
                              "use \"mean\"");
    }
    const auto factor = find_given(top, "gradient_predivide_factor", "", config);
    if (!factor) return;
    const bool one = factor->number({0, 1e9, true}) == 1;
    const auto zero = find_given(top, "zero_optimization", "", config);
    const auto scatter =
        zero && zero->is_map() ? YamlMap::open(*zero).find("reduce_scatter") : std::nullopt;
    if (!one && config.zero.value == 2 && !(scatter && scatter->is_word("false")))
        deepspeed_refuses(*factor,
                          "gradient_predivide_factor != 1.0 is not yet supported with ZeRO-2 with "
                          "reduce scatter enabled",
                          "use 1.0");
    add_note(config, *factor, "gradients are averaged after their sum; this changes rounding only");
}

}  // namespace

std::vector<std::string_view> other_section_keys() {
    std::vector<std::string_view> keys(kRead.begin(), kRead.end());
    for (const Key& key : kNoEffect) keys.push_back(key.name);
    for (const Key& key : kOff) keys.push_back(key.name);
    for (const Key& key : kAbsent) keys.push_back(key.name);
    return keys;
}

void read_other_sections(const YamlMap& top, DeepSpeedConfig& config) {
    read_scheduler(top, config);
    read_checkpointing(top, config);
    read_pipeline(top, config);
    read_tensor_parallel(top, config);
    read_gradient_scale(top, config);
    const auto sequence = find_given(top, "sequence_parallel_size", "", config);
    if (sequence && whole_number(*sequence, {1, 1'000'000}) > 1)
        unsupported(*sequence, "sequence parallelism is not read from the file",
                    "remove it, and give the strategy cp and \"cp_kind: ulysses\"");
    for (const Key& key : kOff) read_off(top, key, config);
    for (const Key& key : kAbsent) {
        const auto value = find_given(top, key.name, "", config);
        const bool asked = value && !(value->is_map() && YamlMap::open(*value).keys().empty());
        if (asked) unsupported(*value, std::string(key.text), "remove it");
    }
    for (const Key& key : kNoEffect)
        if (const auto value = find_given(top, key.name, "", config))
            add_note(config, *value, std::string(key.text));
}

}  // namespace shardscope
