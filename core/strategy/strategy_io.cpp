#include "core/strategy/strategy_io.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/deepspeed/import.h"
#include "core/nearest.h"
#include "core/strategy/presets.h"
#include "core/strategy/strategy_limits.h"
#include "core/strategy/validate.h"
#include "core/training_io.h"

namespace shardscope {
namespace {

// The words of scenarios, in the order of their enumerations.
constexpr std::array<std::string_view, 3> kReduceAt = {"by_stage", "boundary", "micro_batch"};
constexpr std::array<std::string_view, 3> kPartitions = {"blocks", "uniform", "parameters"};
constexpr std::array<std::string_view, 2> kAttentions = {"flash", "unfused"};

std::vector<std::string_view> preset_names() {
    std::vector<std::string_view> names;
    for (const Preset& preset : strategy_presets()) names.push_back(preset.name);
    return names;
}

// Another number is another strategy, not a misspelt one: all of them are said.
Strategy preset_of(const YamlValue& value) {
    const std::vector<std::string_view> names = preset_names();
    const std::vector<std::string> all(names.begin(), names.end());
    const std::string fix =
        fmt::format("use one of {}, or a map such as {{tp: 2, zero: 1}}", join_or(all));
    return strategy_presets()[value.choice(names, "strategy preset", fix)].strategy;
}

// Layouts are printed in short forms, "tp4 sp dp2 v2": what the word of one is as a key.
std::string key_of_layout_word(std::string_view word) {
    const std::size_t end = word.find_last_not_of("0123456789") + 1;
    const std::string_view letters = word.substr(0, end), number = word.substr(end);
    struct ShortForm {
        std::string_view word, key;
    };
    static constexpr ShortForm kShortForms[] = {
        {"sp", "sequence_parallel"},
        {"v", "virtual_stages"},
        {"over", "shard_group"},
        {"tp", "tp"},
        {"cp", "cp"},
        {"pp", "pp"},
        {"dp", "dp"},
        {"ep", "ep"},
        {"etp", "etp"},
        {"zero", "zero"},
    };
    for (const ShortForm& form : kShortForms) {
        if (form.word != letters) continue;
        if (number.empty()) return fmt::format("use \"{}\"", form.key);
        return fmt::format("use \"{}: {}\"", form.key, number);
    }
    return "";
}

// `auto` leaves the choice to the cluster's size.
void read_degree(const YamlMap& map, std::string_view key, std::optional<int>& to) {
    const auto value = map.find(key);
    if (!value) return;
    to.reset();
    if (!value->is_word("auto")) to = static_cast<int>(value->integer(kDegree));
}

// What the strategy starts from: `preset`, or else a name that is a preset's, so that
// `{name: zero-3}` is not data parallelism under a wrong name; or a DeepSpeed file.
Strategy starting_point(const YamlMap& map, const DeepSpeedConfig* deepspeed) {
    if (deepspeed) {
        if (const auto preset = map.find("preset"))
            preset->fail("one-of", "\"preset\" and \"deepspeed\" both say what to start from",
                         "keep one of the two");
        return deepspeed_strategy(*deepspeed);
    }
    if (const auto preset = map.find("preset")) return preset_of(*preset);
    if (const auto name = map.find("name")) {
        for (const Preset& preset : strategy_presets()) {
            if (name->is_word(preset.name)) return preset.strategy;
        }
    }
    return {};
}

// The value whose word it is.
template <class Choices>
auto read_named(const YamlValue& value, const Choices& choices, const std::string& what) {
    std::array<std::string_view, std::tuple_size_v<Choices>> names;
    std::ranges::transform(choices, names.begin(), [](auto choice) { return name_of(choice); });
    return choices[value.choice(names, what)];
}

Schedule read_schedule(const YamlValue& value) {
    std::array<std::string_view, kSchedules.size()> names;
    std::transform(kSchedules.begin(), kSchedules.end(), names.begin(), schedule_name);
    return kSchedules[value.choice(names, "schedule")];
}

Partition read_partition(const YamlValue& value) {
    Partition partition;
    if (value.is_map()) {
        const YamlValue pattern = YamlMap(value, {"pattern"}).require("pattern");
        partition.kind = Partition::Kind::pattern;
        partition.pattern = pattern.name();
        if (const std::string fault = pattern_fault(partition.pattern); !fault.empty())
            pattern.fail("pattern", fmt::format("{} is {}", pattern.path(), fault), kPatternFix);
    } else if (value.is_sequence()) {
        partition.kind = Partition::Kind::counts;
        for (const YamlValue& count : value.items())
            partition.counts.push_back(count.integer(kChunkLayers));
    } else {
        partition.kind = static_cast<Partition::Kind>(value.choice(kPartitions, "partition"));
    }
    return partition;
}

Recompute read_recompute(const YamlValue& value) {
    Recompute recompute;
    if (value.is_map()) {
        recompute.kind = Recompute::Kind::full;
        const YamlMap map(value, {"every", "blocks"});
        recompute.every = static_cast<int>(map.require("every").integer(kEvery));
        map.read("blocks", recompute.blocks, {1, recompute.every});
        if (recompute.blocks == recompute.every) recompute.blocks = recompute.every = 1;
    } else {
        recompute.kind = static_cast<Recompute::Kind>(value.choice(kRecomputes, "recomputation"));
    }
    return recompute;
}

// What sets strategies of one file apart most often; the rest takes a `name`.
std::string derived_name(const Strategy& s) {
    std::string name = s.zero > 0 ? fmt::format("zero-{}", s.zero) : "ddp";
    if (s.shard_group > 0) name += fmt::format(" over {}", s.shard_group);
    if (s.shard_group < 0) name += " over a node";
    name += zero_plus_plus_text(s);
    if (s.tp > 1) name += fmt::format(" tp{}", s.tp);
    if (s.sequence_parallel) name += " sp";
    if (s.tp_overlap) name += fmt::format(" overlap {}", name_of(*s.tp_overlap));
    if (s.cp > 1) name += fmt::format(" cp{}", s.cp);
    if (s.cp > 1 && s.cp_kind) name += fmt::format(" {}", name_of(*s.cp_kind));
    if (s.pp > 1) name += fmt::format(" pp{}", s.pp);
    if (s.pp > 1 && s.schedule != Schedule::one_f_one_b)
        name += fmt::format(" {}", schedule_name(s.schedule));
    if (s.virtual_stages > 1) name += fmt::format(" v{}", s.virtual_stages);
    if (s.ep > 1) name += fmt::format(" ep{}", s.ep);
    if (s.etp) name += fmt::format(" etp{}", *s.etp);
    name += dispatch_text(s);
    if (s.recompute.kind != Recompute::Kind::none)
        name += fmt::format(" recompute {}", recompute_text(s.recompute));
    if (s.offload.any()) name += " " + offload_text(s.offload);
    if (s.profile != RuntimeProfile::shardscope) name += fmt::format(" {}", name_of(s.profile));
    return name;
}

// `none` is the word for 0.
int read_ranks(const YamlValue& value, std::string_view none) {
    if (value.is_word(none)) return 0;
    if (value.is_word("node")) return Strategy::kWholeNode;
    return static_cast<int>(value.integer(kDegree));
}

nlohmann::ordered_json ranks_to_json(int group, std::string_view none) {
    if (group == 0) return none;
    return group < 0 ? nlohmann::ordered_json("node") : nlohmann::ordered_json(group);
}

// `auto` is the profile's way.
void read_flag(const YamlMap& map, const char* key, std::optional<bool>& flag) {
    const auto found = map.find(key);
    if (!found) return;
    flag.reset();
    if (!found->is_word("auto")) flag = found->boolean();
}

// `auto` is the profile's default.
void read_bucket(const YamlMap& map, std::optional<Bytes>& bucket) {
    const auto found = map.find("bucket");
    if (!found) return;
    bucket.reset();
    if (!found->is_word("auto")) bucket = found->bytes(kBucket);
}

// What goes on beside what.
void read_overlap(const YamlMap& map, Strategy& s) {
    read_flag(map, "overlap_reduce", s.overlap_reduce);
    map.read("overlap_gather", s.overlap_gather);
    if (const auto found = map.find("tp_overlap")) {
        s.tp_overlap.reset();
        if (found->is_word("auto")) return;
        s.tp_overlap = read_named(*found, kTensorOverlaps, "overlap of tensor parallelism");
    }
}

// `auto` is the profile's kind.
void read_context_parallel(const YamlMap& map, Strategy& s) {
    map.read("cp", s.cp, kDegree);
    const auto found = map.find("cp_kind");
    if (!found) return;
    s.cp_kind.reset();
    if (found->is_word("auto")) return;
    s.cp_kind = read_named(*found, kContextKinds, "kind of context parallelism");
}

// How tokens travel to experts.
void read_dispatch(const YamlMap& map, Strategy& s) {
    if (const auto found = map.find("dispatcher"))
        s.dispatcher = read_named(*found, kDispatchers, "dispatcher of tokens");
    if (const auto found = map.find("dispatch_precision"))
        s.dispatch_precision = read_named(*found, kDispatchPrecisions, "precision of dispatch");
    map.read("overlap_shared_experts", s.overlap_shared_experts);
}

OffloadTo read_offload_to(const YamlValue& value) {
    return read_named(value, kOffloadTo, "place to offload to");
}

// `none`, or a map of what is offloaded.
Offload read_offload(const YamlValue& value) {
    Offload offload;
    if (value.is_word("none")) return offload;
    const YamlMap map(value, {"optimizer", "parameters", "activations"});
    if (const auto found = map.find("optimizer")) offload.optimizer = read_offload_to(*found);
    if (const auto found = map.find("parameters")) offload.parameters = read_offload_to(*found);
    if (const auto found = map.find("activations")) offload.activations = read_offload_to(*found);
    return offload;
}

// The keys of tensor and pipeline parallelism, and of what activations cost.
void read_model_parallel(const YamlMap& map, Strategy& s) {
    map.read("sequence_parallel", s.sequence_parallel);
    if (const auto found = map.find("schedule")) s.schedule = read_schedule(*found);
    map.read("virtual_stages", s.virtual_stages, kVirtualStages);
    if (const auto found = map.find("partition")) s.partition = read_partition(*found);
    if (const auto found = map.find("recompute")) s.recompute = read_recompute(*found);
    if (const auto found = map.find("attention"))
        s.attention = static_cast<AttentionKind>(found->choice(kAttentions, "kind of attention"));
}

RuntimeProfile read_profile(const YamlValue& value) {
    return read_named(value, kRuntimeProfiles, "profile");
}

Strategy read_strategy(const YamlValue& value, const std::string& folder,
                       std::optional<DeepSpeedConfig>& deepspeed) {
    if (!value.is_map()) return preset_of(value);
    const YamlMap map(value,
                      {"name",
                       "preset",
                       "deepspeed",
                       "tp",
                       "cp",
                       "cp_kind",
                       "pp",
                       "ep",
                       "etp",
                       "dispatcher",
                       "dispatch_precision",
                       "overlap_shared_experts",
                       "dp",
                       "ranks",
                       "zero",
                       "shard_group",
                       "quantized_weights",
                       "secondary_shard",
                       "quantized_gradients",
                       "micro_batch",
                       "bucket",
                       "prefetch",
                       "reduce_at",
                       "overlap_reduce",
                       "overlap_gather",
                       "sequence_parallel",
                       "tp_overlap",
                       "schedule",
                       "virtual_stages",
                       "partition",
                       "recompute",
                       "attention",
                       "offload",
                       "expandable_segments",
                       "profile"},
                      key_of_layout_word);
    if (const auto file = map.find("deepspeed")) deepspeed = load_named_deepspeed(*file, folder);
    Strategy s = starting_point(map, deepspeed ? &*deepspeed : nullptr);
    map.read("tp", s.tp, kDegree);
    read_context_parallel(map, s);
    map.read("pp", s.pp, kDegree);
    map.read("ep", s.ep, kDegree);
    read_degree(map, "etp", s.etp);
    read_dispatch(map, s);
    read_degree(map, "dp", s.dp);
    read_degree(map, "ranks", s.ranks);
    map.read("zero", s.zero, kZero);
    if (const auto found = map.find("shard_group")) s.shard_group = read_ranks(*found, "all");
    map.read("quantized_weights", s.quantized_weights);
    if (const auto found = map.find("secondary_shard"))
        s.secondary_shard = read_ranks(*found, "none");
    map.read("quantized_gradients", s.quantized_gradients);
    if (const auto found = map.find("micro_batch")) s.micro_batch = read_micro_batch(*found);
    if (const auto found = map.find("profile")) set_profile(s, read_profile(*found));
    read_bucket(map, s.bucket);
    map.read("prefetch", s.prefetch, kPrefetch);
    if (const auto found = map.find("reduce_at")) {
        s.reduce_at = static_cast<ReduceAt>(found->choice(kReduceAt, "time to reduce"));
    }
    read_overlap(map, s);
    read_model_parallel(map, s);
    if (const auto found = map.find("offload")) s.offload = read_offload(*found);
    read_flag(map, "expandable_segments", s.expandable_segments);
    if (s.name.empty()) s.name = derived_name(s);
    if (const auto found = map.find("name")) s.name = found->name();
    return s;
}

nlohmann::ordered_json to_json(const Partition& partition) {
    if (partition.kind == Partition::Kind::pattern)
        return nlohmann::ordered_json::object({{"pattern", partition.pattern}});
    if (partition.kind == Partition::Kind::counts) return partition.counts;
    return kPartitions[static_cast<std::size_t>(partition.kind)];
}

nlohmann::ordered_json to_json(const Recompute& recompute) {
    if (recompute.kind == Recompute::Kind::full && recompute.blocks != recompute.every) {
        nlohmann::ordered_json out{{"every", recompute.every}};
        if (recompute.blocks != 1) out["blocks"] = recompute.blocks;
        return out;
    }
    return kRecomputes[static_cast<std::size_t>(recompute.kind)];
}

nlohmann::ordered_json to_json(const Offload& offload) {
    if (!offload.any()) return "none";
    return {{"optimizer", name_of(offload.optimizer)},
            {"parameters", name_of(offload.parameters)},
            {"activations", name_of(offload.activations)}};
}

}  // namespace

StrategyList read_strategies(const YamlValue& value, const std::string& folder) {
    const auto items = value.items();
    if (items.empty() || items.size() > kMostStrategies) {
        value.fail(
            "range",
            fmt::format("{} strategies, but there must be 1 to {}", items.size(), kMostStrategies),
            "write a list such as [ddp, zero-1], or remove the key for all presets");
    }
    StrategyList list;
    std::map<std::string, std::string> places;
    for (const YamlValue& item : items) {
        std::optional<DeepSpeedConfig> deepspeed;
        Strategy strategy = read_strategy(item, folder, deepspeed);
        strategy.place = item.place();
        const auto [earlier, fresh] = places.emplace(strategy.name, strategy.place);
        if (!fresh) {
            item.fail("duplicate-name",
                      fmt::format("strategy \"{}\" has the name of the one at {}", strategy.name,
                                  earlier->second),
                      "give one of them another \"name\"");
        }
        if (deepspeed)
            list.deepspeed.push_back({list.strategies.size(), std::move(*deepspeed), item});
        list.strategies.push_back(std::move(strategy));
    }
    return list;
}

std::vector<Strategy> default_strategies() {
    std::vector<Strategy> strategies;
    for (const Preset& preset : strategy_presets()) strategies.push_back(preset.strategy);
    return strategies;
}

nlohmann::ordered_json strategy_to_json(const Strategy& s) {
    const auto value_or_auto = [](const auto& value) {
        return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json("auto");
    };
    nlohmann::ordered_json out;
    out["name"] = s.name;
    out["tp"] = s.tp;
    out["cp"] = s.cp;
    out["cp_kind"] = s.cp_kind ? nlohmann::ordered_json(name_of(*s.cp_kind)) : "auto";
    out["pp"] = s.pp;
    out["ep"] = s.ep;
    out["etp"] = value_or_auto(s.etp);
    out["dispatcher"] = name_of(s.dispatcher);
    out["dispatch_precision"] = name_of(s.dispatch_precision);
    out["overlap_shared_experts"] = s.overlap_shared_experts;
    out["dp"] = value_or_auto(s.dp);
    out["ranks"] = value_or_auto(s.ranks);
    out["zero"] = s.zero;
    out["shard_group"] = ranks_to_json(s.shard_group, "all");
    out["quantized_weights"] = s.quantized_weights;
    out["secondary_shard"] = ranks_to_json(s.secondary_shard, "none");
    out["quantized_gradients"] = s.quantized_gradients;
    out["micro_batch"] = value_or_auto(s.micro_batch);
    out["bucket"] = s.bucket ? nlohmann::ordered_json(s.bucket->value) : "auto";
    out["prefetch"] = s.prefetch;
    out["reduce_at"] = kReduceAt[static_cast<std::size_t>(s.reduce_at)];
    out["overlap_reduce"] = value_or_auto(s.overlap_reduce);
    out["overlap_gather"] = s.overlap_gather;
    out["sequence_parallel"] = s.sequence_parallel;
    out["tp_overlap"] = s.tp_overlap ? nlohmann::ordered_json(name_of(*s.tp_overlap)) : "auto";
    out["schedule"] = schedule_name(s.schedule);
    out["virtual_stages"] = s.virtual_stages;
    out["partition"] = to_json(s.partition);
    out["recompute"] = to_json(s.recompute);
    out["attention"] = kAttentions[static_cast<std::size_t>(s.attention)];
    out["offload"] = to_json(s.offload);
    out["expandable_segments"] = value_or_auto(s.expandable_segments);
    out["profile"] = name_of(s.profile);
    return out;
}

}  // namespace shardscope
