// The section zero_optimization: DeepSpeed's runtime/zero/config.py and offload_config.py.
#include <array>
#include <limits>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "core/deepspeed/json.h"
#include "core/deepspeed/sections.h"
#include "core/report/figures.h"
#include "core/strategy/strategy_limits.h"

namespace shardscope {
namespace {

enum class KeyKind : std::uint8_t {
    flag,
    elements,  // a whole number, from 0
    number,    // a whole number, from -1
    section,   // a map, or anything
};

// A key whose value other than the default would change memory or results in a way that cannot be done
// here has `refused`: what it is that cannot be done. All others have no effect here.
struct Row {
    std::string_view key;
    std::string_view field;  // its other name, which DeepSpeed reads as well
    KeyKind kind;
    std::string_view default_value;
    bool stage3;  // of stage 3 only
    std::string_view here;
    std::string_view refused;
};

constexpr std::string_view kOffloadParam = "offload_param", kOffloadOptimizer = "offload_optimizer";
constexpr std::string_view kOldOffloadParam = "cpu_offload_param",
                           kOldOffloadOptimizer = "cpu_offload";
constexpr std::string_view kSecondary = "zero_hpz_partition_size", kShardGroup = "mics_shard_size",
                           kQuantizedWeights = "zero_quantized_weights",
                           kQuantizedGradients = "zero_quantized_gradients",
                           kOverlap = "overlap_comm";
constexpr std::string_view kNoFiles = "no checkpoints are read or written";

constexpr std::array<Row, 45> kRows{{
    {"stage", "", KeyKind::number, "0", false, "", ""},
    {"contiguous_gradients", "", KeyKind::flag, "true", false,
     "gradients are written where they are reduced; nothing is copied", ""},
    {"reduce_scatter", "", KeyKind::flag, "true", false,
     "sharded gradients are always reduce-scattered; DeepSpeed's stages 1 and 2 all-reduce each "
     "bucket and keep a slice",
     ""},
    {"reduce_bucket_size", "", KeyKind::elements, "5e8", false, "", ""},
    {"use_multi_rank_bucket_allreduce", "", KeyKind::flag, "true", false,
     "a bucket goes to all its owners at once, by one reduce-scatter", ""},
    {"allgather_partitions", "", KeyKind::flag, "true", false,
     "updated parameters always come back by all-gathers", ""},
    {"allgather_bucket_size", "", KeyKind::elements, "5e8", false,
     "one all-gather per bucket of gradients; DeepSpeed ignores it where PyTorch has "
     "all_gather_into_tensor",
     ""},
    {kOverlap, "", KeyKind::flag, "stage 3", false,
     "gradients are reduced beside the backward pass, on a stream of their own, where it is not "
     "given",
     ""},
    {"load_from_fp32_weights", "", KeyKind::flag, "true", false, kNoFiles, ""},
    {"elastic_checkpoint", "", KeyKind::flag, "false", false, kNoFiles, ""},
    {kOffloadParam, "", KeyKind::section, "none", true, "", ""},
    {kOffloadOptimizer, "", KeyKind::section, "none", false, "", ""},
    {"zenflow", "", KeyKind::section, "null", false, "not used", "ZenFlow is not there"},
    {"sub_group_size", "", KeyKind::elements, "1e9", true, "a rank's shard is updated at once", ""},
    {kOldOffloadParam, "", KeyKind::flag, "null", true, "the old form of offload_param", ""},
    {"cpu_offload_use_pin_memory", "", KeyKind::flag, "null", false,
     "what is offloaded is always pinned", ""},
    {kOldOffloadOptimizer, "", KeyKind::flag, "null", false, "the old form of offload_optimizer",
     ""},
    {"stage3_prefetch_bucket_size", "prefetch_bucket_size", KeyKind::elements, "5e7", true, "", ""},
    {"stage3_param_persistence_threshold", "param_persistence_threshold", KeyKind::elements, "1e5",
     true, "", ""},
    {"stage3_model_persistence_threshold", "model_persistence_threshold", KeyKind::elements,
     "sys.maxsize", true, "every parameter is sharded", ""},
    {"stage3_max_live_parameters", "max_live_parameters", KeyKind::elements, "1e9", true,
     "at most prefetch + 1 layers are gathered at a time", ""},
    {"stage3_max_reuse_distance", "max_reuse_distance", KeyKind::elements, "1e9", true,
     "a layer is freed after its forward pass and gathered again, but for the last one", ""},
    {"stage3_gather_16bit_weights_on_model_save", "gather_16bit_weights_on_model_save",
     KeyKind::flag, "false", true, kNoFiles, ""},
    {"stage3_module_granularity_threshold", "module_granularity_threshold", KeyKind::number, "0",
     true, "a layer is gathered whole", ""},
    {"stage3_use_all_reduce_for_fetch_params", "use_all_reduce_for_fetch_params", KeyKind::flag,
     "false", true, "layers are gathered by all-gathers", ""},
    {"stage3_allgather_sequential", "allgather_sequential", KeyKind::flag, "false", true,
     "a layer's parameters are gathered together", ""},
    {"stage3_partition_stream_chunk_size", "partition_stream_chunk_size", KeyKind::elements, "0",
     true, "shards are initialised in place", ""},
    {"stage3_gather_fp16_weights_on_model_save", "", KeyKind::flag, "false", true, kNoFiles, ""},
    {"ignore_unused_parameters", "", KeyKind::flag, "true", false,
     "models use all their parameters", ""},
    {"legacy_stage1", "", KeyKind::flag, "false", false, "there is one stage 1", ""},
    {"round_robin_gradients", "", KeyKind::flag, "false", false,
     "each rank owns one slice of every bucket", ""},
    {kSecondary, "", KeyKind::number, "1", true, "no secondary copy of the weights", ""},
    {kQuantizedWeights, "", KeyKind::flag, "false", true, "weights travel as they are stored", ""},
    {"zero_quantized_nontrainable_weights", "", KeyKind::flag, "false", true,
     "all weights are trained", "quantised weights (ZeRO++) are not there"},
    {kQuantizedGradients, "", KeyKind::flag, "false", true, "gradients travel as they are stored",
     ""},
    {"zeropp_loco_param", "", KeyKind::section, "null", true, "not used",
     "quantised gradients (LoCo) are not there"},
    {kShardGroup, "", KeyKind::number, "-1", true, "shards over all data-parallel ranks", ""},
    {"mics_hierarchical_params_gather", "", KeyKind::flag, "false", true, "not used", ""},
    {"memory_efficient_linear", "", KeyKind::flag, "true", true,
     "the backward pass reads the weights themselves", ""},
    {"leaf_module", "", KeyKind::section, "null", true, "layers are gathered whole", ""},
    {"pipeline_loading_checkpoint", "", KeyKind::flag, "false", true, kNoFiles, ""},
    {"override_module_apply", "", KeyKind::flag, "true", true, "not used", ""},
    {"log_trace_cache_warnings", "", KeyKind::flag, "false", true, "there is no trace cache", ""},
    {"enable_sanity_checks", "", KeyKind::flag, "false", true, "every plan is checked", ""},
    {"save_muon_momentum_buffer_in_memory", "", KeyKind::flag, "false", true, "not used", ""},
}};

// What Trainer puts for "auto".
std::string_view trainer_value(std::string_view key) {
    if (key == "reduce_bucket_size") return "the model: hidden_size²";
    if (key == "stage3_prefetch_bucket_size") return "the model: 0.9 · hidden_size²";
    if (key == "stage3_param_persistence_threshold") return "the model: 10 · hidden_size";
    return "";
}

constexpr IntegerRange kElements{0, std::numeric_limits<std::int64_t>::max()};
constexpr IntegerRange kBucketElements{0, std::int64_t{1} << 37};  // 1 TiB of fp64
constexpr IntegerRange kNumber{-1, 1'000'000'000};

// Whether a section, a flag or a number asks for something.
bool asks(const Row& row, const YamlValue& value) {
    switch (row.kind) {
        case KeyKind::flag:
            return value.boolean();
        case KeyKind::elements:
        case KeyKind::number:
            return whole_number(value, kNumber) > (row.default_value == "1" ? 1 : 0);
        case KeyKind::section:
            break;
    }
    return !value.is_map() || !YamlMap::open(value).keys().empty();
}

// The device of offload_param or offload_optimizer (offload_config.py).
OffloadTo read_offload_section(const YamlValue& value, DeepSpeedConfig& config) {
    const YamlMap map =
        deepspeed_map(value, {"device", "nvme_path", "pin_memory", "buffer_count", "buffer_size",
                              "max_in_cpu", "pipeline_read", "pipeline_write", "fast_init", "ratio",
                              "super_offload", "cpuadam_cores_perc"});
    const auto ratio = find_given(map, "ratio", "", config);
    if (ratio && ratio->number({0, 1}) < 1) {
        if (config.zero.value != 3)
            deepspeed_refuses(*ratio, "Partial offloading only supported for ZeRO Stage 3.",
                              "remove it");
        unsupported(*ratio, "optimizer states are offloaded as a whole", "remove it");
    }
    const auto device = find_given(map, "device", "", config);
    if (!device) return OffloadTo::none;
    std::array<std::string_view, kOffloadTo.size()> names;
    for (std::size_t i = 0; i < names.size(); ++i) names[i] = name_of(kOffloadTo[i]);
    return kOffloadTo[device->choice(names, "device to offload to")];
}

// Types and ranges of what has no effect here.
void check_type(const Row& row, const YamlValue& value) {
    if (row.kind == KeyKind::flag) value.boolean();
    if (row.kind == KeyKind::elements) whole_number(value, kElements);
    if (row.kind == KeyKind::number) whole_number(value, kNumber);
}

// `twice`: with overlap_comm DeepSpeed has two of them.
std::string bucket_text(const DeepSpeedConfig& config, bool twice) {
    const std::int64_t elements = config.reduce_bucket.value;
    const auto gigabytes = [](std::int64_t bytes) {
        return fmt::format("{:.3g} GB", static_cast<double>(bytes) / 1e9);
    };
    const std::string size =
        fmt::format("{} in bf16, {} in fp32", gigabytes(2 * elements), gigabytes(4 * elements));
    if (config.zero.value == 3)
        return "each layer is reduced by itself; DeepSpeed holds a bucket of " + size;
    if (config.zero.value == 0)
        return "no effect: stage 0 reduces 5e8 elements at a time, whatever it says; so does "
               "bucket";
    return fmt::format(
        "bucket: {}; it takes what its gradients take, DeepSpeed allocates all of it{}", size,
        twice ? ", twice" : "");
}

struct Shown {
    std::int64_t threshold = 100'000;  // stage3_param_persistence_threshold
};

// `what`: the key of a strategy's offload.
std::string offload_here(const char* what, OffloadTo to) {
    if (to != OffloadTo::none) return fmt::format("offload: {{{}: {}}}", what, name_of(to));
    return fmt::format("{} stay on the device",
                       what == std::string_view("optimizer") ? "optimizer states" : what);
}

std::string here_text(const Row& row, const DeepSpeedConfig& config, const Shown& shown) {
    constexpr std::array<std::string_view, 4> kSharded = {
        "nothing is sharded", "optimizer states are sharded",
        "optimizer states and gradients are sharded",
        "optimizer states, gradients and parameters are sharded"};
    const int stage = config.zero.value;
    if (row.key == "stage") return std::string(kSharded[static_cast<std::size_t>(stage)]);
    if (row.key == "reduce_bucket_size")
        return bucket_text(config, config.overlap.value.value_or(false));
    if (row.stage3 && stage != 3) return "stage 3 only";
    if (row.key == kOverlap && config.overlap.value)
        return fmt::format("overlap_reduce: {}", *config.overlap.value);
    if (row.key == kQuantizedWeights && config.quantized_weights.value)
        return "quantized_weights: true";
    if (row.key == kQuantizedGradients && config.quantized_gradients.value)
        return "quantized_gradients: true";
    if (row.key == kSecondary && config.secondary_shard.value > 0)
        return fmt::format("secondary_shard: {}", config.secondary_shard.value);
    if (row.key == kShardGroup && config.shard_group.value > 0)
        return fmt::format("shard_group: {}", config.shard_group.value);
    if (row.key == kOffloadParam) return offload_here("parameters", config.offload_param.value);
    if (row.key == kOffloadOptimizer)
        return offload_here("optimizer", config.offload_optimizer.value);
    if (row.key == "stage3_prefetch_bucket_size")
        return fmt::format("prefetch: {} (layers ahead, not elements)", config.prefetch.value);
    if (row.key == "stage3_param_persistence_threshold")
        return fmt::format(
            "every parameter is sharded; DeepSpeed keeps those of at most {} elements on every "
            "rank",
            format_count(shown.threshold));
    return std::string(row.here);
}

class ZeroReader {
public:
    ZeroReader(const YamlMap& map, DeepSpeedConfig& config) : map_(map), config_(config) {}

    void read_settings() {
        read_setting(map_, "stage", "", config_, config_.zero, [](const YamlValue& value) {
            return static_cast<int>(whole_number(value, {0, 3}));
        });
        if (const auto value = given("reduce_bucket_size", ""))
            config_.reduce_bucket = {whole_number(*value, kBucketElements), value->place()};
        if (const auto value = given("stage3_prefetch_bucket_size", "prefetch_bucket_size"))
            config_.prefetch = {whole_number(*value, kElements) > 0 ? 1 : 0, value->place()};
        if (const auto value =
                given("stage3_param_persistence_threshold", "param_persistence_threshold"))
            shown_.threshold = whole_number(*value, kElements);
        if (const auto value = given(kOverlap, ""); value && config_.zero.value > 0)
            config_.overlap = {value->boolean(), value->place()};
        if (config_.zero.value == 3) read_groups();
        read_offload(kOffloadOptimizer, kOldOffloadOptimizer, 1, config_.offload_optimizer);
        read_offload(kOffloadParam, kOldOffloadParam, 3, config_.offload_param);
        check_all_gather_bucket();
    }

    void read_row(const Row& row) {
        const auto value = given(row.key, row.field);
        if (value && !row.refused.empty() && asks(row, *value))
            unsupported(*value, std::string(row.refused), "remove it");
        if (value && row.refused.empty()) check_type(row, *value);
        const bool overlap = row.key == kOverlap;
        config_.zero_keys.push_back({std::string(row.key), value ? value_text(*value) : "",
                                     overlap ? (config_.zero.value == 3 ? "true" : "false")
                                             : std::string(row.default_value),
                                     here_text(row, config_, shown_)});
    }

private:
    // By either of its names.
    std::optional<YamlValue> given(std::string_view key, std::string_view field) {
        const auto other = field.empty() ? std::nullopt : map_.find(field);
        if (other && map_.find(key))
            other->fail("one-of", fmt::format("\"{}\" and \"{}\" are the same key", key, field),
                        "keep one of the two");
        return find_given(map_, other ? field : key, trainer_value(key), config_);
    }

    // ZeRO++ and MiCS.
    void read_groups() {
        for (const auto& [key, to] : {std::pair{kQuantizedWeights, &config_.quantized_weights},
                                      {kQuantizedGradients, &config_.quantized_gradients}})
            if (const auto value = given(key, "")) *to = {value->boolean(), value->place()};
        for (const auto& [key, to, off] : {std::tuple{kSecondary, &config_.secondary_shard, 1},
                                           {kShardGroup, &config_.shard_group, 0}}) {
            const auto value = given(key, "");
            if (!value) continue;
            const auto ranks = static_cast<int>(whole_number(*value, kNumber));
            *to = {ranks > off ? ranks : 0, value->place()};
        }
    }

    // Below the stage that has it, it is read and has no effect. The old form is `true` for "cpu".
    void read_offload(std::string_view key, std::string_view old, int stage,
                      Setting<OffloadTo>& to) {
        const auto section = given(key, ""), flag = given(old, "");
        OffloadTo where = section ? read_offload_section(*section, config_) : OffloadTo::none;
        const YamlValue* from = section ? &*section : nullptr;
        if (flag && flag->boolean() && !section) {
            where = OffloadTo::cpu;
            from = &*flag;
        }
        if (from != nullptr && config_.zero.value >= stage) to = {where, from->place()};
    }

    void check_all_gather_bucket() {
        const auto value = given("allgather_bucket_size", "");
        if (!value || config_.zero.value == 0 || config_.zero.value == 3) return;
        if (whole_number(*value, kElements) % 2 != 0)
            deepspeed_refuses(*value,
                              "allgather_bucket_size must be a multiple of "
                              "nccl_start_alignment_factor, 2",
                              "use an even number");
    }

    const YamlMap& map_;
    DeepSpeedConfig& config_;
    Shown shown_;
};

// `"zero_optimization": true`, which means stage 1.
bool read_deprecated(const YamlValue& value, DeepSpeedConfig& config) {
    if (!value.is_word("true") && !value.is_word("false")) return false;
    config.zero = {value.boolean() ? 1 : 0, value.place()};
    add_note(config, value, "an old form; write {\"stage\": 1} or leave it out");
    return true;
}

}  // namespace

void read_zero(const YamlMap& top, DeepSpeedConfig& config) {
    const auto section = find_given(top, "zero_optimization", "", config);
    const YamlValue value = section && !read_deprecated(*section, config)
                                ? *section
                                : parse_deepspeed_json("{}", config.file);
    std::vector<std::string_view> known;
    for (const Row& row : kRows) {
        known.push_back(row.key);
        if (!row.field.empty()) known.push_back(row.field);
    }
    const YamlMap map = deepspeed_map(value, known);
    ZeroReader reader(map, config);
    reader.read_settings();
    for (const Row& row : kRows) reader.read_row(row);
}

}  // namespace shardscope
