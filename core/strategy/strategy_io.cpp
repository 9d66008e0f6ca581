#include "core/strategy/strategy_io.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/strategy/presets.h"
#include "core/training_io.h"

namespace shardscope {
namespace {

constexpr IntegerRange kDegree{1, 1'000'000};
constexpr IntegerRange kZero{0, 3};
constexpr IntegerRange kPrefetch{0, 10'000};
constexpr IntegerRange kBucket{1, std::int64_t{1} << 40};
constexpr std::size_t kMostStrategies = 1000;

constexpr std::array<std::string_view, 3> kReduceAt = {"by_stage", "boundary", "micro_batch"};

std::vector<std::string_view> preset_names() {
    std::vector<std::string_view> names;
    for (const Preset& preset : strategy_presets()) names.push_back(preset.name);
    return names;
}

Strategy preset_of(const YamlValue& value) {
    return strategy_presets()[value.choice(preset_names(), "strategy preset")].strategy;
}

// `auto` leaves the choice to the cluster's size.
void read_degree(const YamlMap& map, std::string_view key, std::optional<int>& to) {
    const auto value = map.find(key);
    if (!value) return;
    to.reset();
    if (!value->is_word("auto")) to = static_cast<int>(value->integer(kDegree));
}

// What the strategy starts from: `preset`, or else a name that is a preset's, so that
// `{name: zero-3}` is not data parallelism under a wrong name.
Strategy starting_point(const YamlMap& map) {
    if (const auto preset = map.find("preset")) return preset_of(*preset);
    if (const auto name = map.find("name")) {
        for (const Preset& preset : strategy_presets()) {
            if (name->is_word(preset.name)) return preset.strategy;
        }
    }
    return {};
}

std::string derived_name(const Strategy& s) {
    std::string name = s.zero > 0 ? fmt::format("zero-{}", s.zero) : "ddp";
    if (s.tp > 1) name += fmt::format(" tp{}", s.tp);
    if (s.pp > 1) name += fmt::format(" pp{}", s.pp);
    return name;
}

Strategy read_strategy(const YamlValue& value) {
    if (!value.is_map()) return preset_of(value);
    const YamlMap map(value, {"name", "preset", "tp", "pp", "dp", "ranks", "zero", "micro_batch",
                              "bucket", "prefetch", "reduce_at"});
    Strategy s = starting_point(map);
    map.read("tp", s.tp, kDegree);
    map.read("pp", s.pp, kDegree);
    read_degree(map, "dp", s.dp);
    read_degree(map, "ranks", s.ranks);
    map.read("zero", s.zero, kZero);
    if (const auto found = map.find("micro_batch")) s.micro_batch = read_micro_batch(*found);
    map.read("bucket", s.bucket, kBucket);
    map.read("prefetch", s.prefetch, kPrefetch);
    if (const auto found = map.find("reduce_at")) {
        s.reduce_at = static_cast<ReduceAt>(found->choice(kReduceAt, "time to reduce"));
    }
    if (s.name.empty()) s.name = derived_name(s);
    if (const auto found = map.find("name")) s.name = found->name();
    return s;
}

}  // namespace

std::vector<Strategy> read_strategies(const YamlValue& value) {
    const auto items = value.items();
    if (items.empty() || items.size() > kMostStrategies) {
        value.fail(
            "range",
            fmt::format("{} strategies, but there must be 1 to {}", items.size(), kMostStrategies),
            "write a list such as [ddp, zero-1], or remove the key for all presets");
    }
    std::vector<Strategy> strategies;
    std::map<std::string, std::string> places;
    for (const YamlValue& item : items) {
        Strategy strategy = read_strategy(item);
        strategy.place = item.place();
        const auto [earlier, fresh] = places.emplace(strategy.name, strategy.place);
        if (!fresh) {
            item.fail("duplicate-name",
                      fmt::format("strategy \"{}\" has the name of the one at {}", strategy.name,
                                  earlier->second),
                      "give one of them another \"name\"");
        }
        strategies.push_back(std::move(strategy));
    }
    return strategies;
}

std::vector<Strategy> default_strategies() {
    std::vector<Strategy> strategies;
    for (const Preset& preset : strategy_presets()) strategies.push_back(preset.strategy);
    return strategies;
}

nlohmann::ordered_json strategy_to_json(const Strategy& s) {
    const auto number_or_auto = [](const auto& value) {
        return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json("auto");
    };
    nlohmann::ordered_json out;
    out["name"] = s.name;
    out["tp"] = s.tp;
    out["pp"] = s.pp;
    out["dp"] = number_or_auto(s.dp);
    out["ranks"] = number_or_auto(s.ranks);
    out["zero"] = s.zero;
    out["micro_batch"] = number_or_auto(s.micro_batch);
    out["bucket"] = s.bucket.value;
    out["prefetch"] = s.prefetch;
    out["reduce_at"] = kReduceAt[static_cast<std::size_t>(s.reduce_at)];
    return out;
}

}  // namespace shardscope
