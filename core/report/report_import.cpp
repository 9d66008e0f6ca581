#include "core/report/report_import.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/report/estimate_io.h"
#include "core/scenario_io.h"
#include "core/yaml_reader.h"
#include "core/yaml_text.h"

namespace shardscope {
namespace {

// So that sums of a few fit into 64 bits. What was measured as a difference may be negative.
constexpr std::int64_t kMostBytes = std::int64_t{1} << 60;
constexpr IntegerRange kBytes{0, kMostBytes};
constexpr IntegerRange kSigned{-kMostBytes, kMostBytes};
constexpr IntegerRange kRanks{0, INT32_MAX};

// JSON is YAML to the reader that knows places, but not the other way round.
void expect_json(const std::string& text, const std::string& path) {
    try {
        // The callback keeps nothing: only the syntax matters.
        const auto nothing = [](int, nlohmann::json::parse_event_t, nlohmann::json&) {
            return false;
        };
        [[maybe_unused]] const auto discarded = nlohmann::json::parse(text, nothing);
    } catch (const nlohmann::json::parse_error& error) {
        // `byte` is the last one read, from 1 on.
        const std::size_t at = std::min(std::max<std::size_t>(error.byte, 1) - 1, text.size());
        const auto before = std::string_view(text).substr(0, at);
        const auto line = 1 + std::ranges::count(before, '\n');
        const auto column = at - (before.find_last_of('\n') + 1) + 1;  // npos + 1 is 0
        throw Error("json",
                    fmt::format("{}:{}:{}: this is no JSON{}", path, line, column,
                                at >= text.size() ? ": it ends early" : ""),
                    "open a report that `shardscope run --json` wrote");
    } catch (const nlohmann::json::out_of_range&) {
        // A number beyond a double: the reader below refuses it, and knows where it is.
    }
}

double number_or_nan(const YamlValue& value) {
    return value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.number(kFinite);
}
Seconds seconds(const YamlMap& map, std::string_view key) {
    return Seconds(number_or_nan(map.require(key)));
}
Bytes bytes(const YamlMap& map, std::string_view key, IntegerRange range = kBytes) {
    return Bytes(map.require(key).integer(range));
}

template <class Enum, std::size_t kCount>
Enum named(const YamlValue& value, std::string_view (*name)(Enum), const char* what) {
    std::array<std::string_view, kCount> names;
    for (std::size_t i = 0; i < kCount; ++i) names[i] = name(static_cast<Enum>(i));
    return static_cast<Enum>(value.choice(names, what));
}

Rank read_rank(const YamlValue& value) {
    return Rank(static_cast<std::int32_t>(value.integer(kRanks)));
}

std::array<Bytes, kCategories> read_categories(const YamlValue& value) {
    std::vector<std::string_view> names;
    for (std::size_t i = 0; i < kCategories; ++i)
        names.push_back(category_name(static_cast<Category>(i)));
    const YamlMap map(value, names);
    std::array<Bytes, kCategories> categories;
    for (std::size_t i = 0; i < kCategories; ++i) categories[i] = bytes(map, names[i], kSigned);
    return categories;
}

RuntimeMemory read_runtime(const YamlValue& value) {
    const YamlMap map(value, {"context_bytes", "workspace_bytes", "communicators_bytes"});
    RuntimeMemory runtime;
    runtime.context = bytes(map, "context_bytes", kSigned);
    runtime.workspace = bytes(map, "workspace_bytes", kSigned);
    runtime.communicators = bytes(map, "communicators_bytes", kSigned);
    return runtime;
}

BesideDevice read_beside(const YamlMap& map, const std::string& prefix) {
    BesideDevice beside;
    if (map.find(prefix + "host_bytes")) beside.host = bytes(map, prefix + "host_bytes");
    if (map.find(prefix + "nvme_bytes")) beside.nvme = bytes(map, prefix + "nvme_bytes");
    return beside;
}

RankTrace read_rank_trace(const YamlValue& value, bool measured) {
    std::vector<std::string_view> keys{"rank",          "multiplicity", "peak_bytes",
                                       "peak_phase",    "categories",   "runtime",
                                       "process_bytes", "host_bytes",   "nvme_bytes"};
    if (measured) keys.emplace_back("outside_plan_bytes");
    const YamlMap map(value, keys);
    RankTrace trace;
    trace.rank = read_rank(map.require("rank"));
    map.read("multiplicity", trace.multiplicity, {1, INT32_MAX});
    MemoryUse& memory = trace.memory;
    memory.peak = bytes(map, "peak_bytes");
    memory.peak_phase = named<Phase, kPhases>(map.require("peak_phase"), phase_name, "phase");
    memory.categories = read_categories(map.require("categories"));
    if (measured) memory.outside_plan = bytes(map, "outside_plan_bytes");
    if (const auto runtime = map.find("runtime")) memory.runtime = read_runtime(*runtime);
    memory.beside = read_beside(map, "");
    if (map.find("process_bytes")) memory.process = bytes(map, "process_bytes");
    Bytes sum;
    for (const Bytes part : memory.categories) sum += part;
    if (sum != memory.peak)
        map.require("peak_bytes")
            .fail("report",
                  fmt::format("{}.peak_bytes is {}, but its categories sum to {}", value.path(),
                              memory.peak.value, sum.value),
                  "open the report as it was written");
    return trace;
}

void read_memory(const YamlValue& value, bool measured, Result& result) {
    const YamlMap map(value,
                      {"capacity_bytes", "peak_bytes", "peak_rank", "ranks", "node_host_bytes",
                       "node_nvme_bytes", "node_capacity_host_bytes", "node_capacity_nvme_bytes"});
    result.node_beside = read_beside(map, "node_");
    result.node_capacity = read_beside(map, "node_capacity_");
    result.capacity = bytes(map, "capacity_bytes");
    for (const YamlValue& rank : map.require("ranks").items())
        result.ranks.push_back(read_rank_trace(rank, measured));
    const YamlValue peak_rank = map.require("peak_rank");
    result.peak_rank = read_rank(peak_rank);
    const Bytes peak = bytes(map, "peak_bytes");
    if (result.peak_memory().peak != peak)
        peak_rank.fail(
            "report",
            fmt::format("{}.peak_bytes is {}, but rank {} has {}", value.path(), peak.value,
                        result.peak_rank.value, result.peak_memory().peak.value),
            "open the report as it was written");
}

std::optional<Result> read_result(const YamlValue& value, bool measured) {
    if (value.is_null()) return std::nullopt;
    const YamlMap map(value, {"step_time_s", "tokens_per_s", "tokens_per_s_per_gpu", "mfu",
                              "losses", "memory", "time", "run", "variation", "basis"});
    Result result;
    result.step_time = seconds(map, "step_time_s");
    result.tokens_per_s = number_or_nan(map.require("tokens_per_s"));
    result.tokens_per_s_per_gpu = number_or_nan(map.require("tokens_per_s_per_gpu"));
    const YamlValue mfu = map.require("mfu");
    result.mfu = mfu.is_null() ? 0 : number_or_nan(mfu);
    for (const YamlValue& loss : map.require("losses").items())
        result.losses.push_back(number_or_nan(loss));
    read_memory(map.require("memory"), measured, result);
    const YamlMap time(map.require("time"),
                       {"compute_s", "exposed_communication_s", "bubble_s", "optimizer_s"});
    result.time.wall = result.step_time;
    result.time.compute = seconds(time, "compute_s");
    result.time.exposed_communication = seconds(time, "exposed_communication_s");
    result.time.bubble = seconds(time, "bubble_s");
    result.time.optimizer = seconds(time, "optimizer_s");
    read_estimates(map, result);
    return result;
}

std::optional<Error> read_error(const YamlValue& value, Status status) {
    const bool expected = status == Status::invalid || status == Status::failed;
    if (value.is_null() == expected)
        value.fail("report",
                   fmt::format("{} is {}, but the status is \"{}\"", value.path(),
                               expected ? "null" : "there", status_name(status)),
                   "open the report as it was written");
    if (!expected) return std::nullopt;
    const YamlMap map(value, {"rule", "message", "fix"});
    return Error(map.require("rule").string(), map.require("message").string(),
                 map.require("fix").string(),
                 status == Status::invalid ? ErrorKind::invalid_input : ErrorKind::run_failed);
}

StrategyReport read_strategy_report(const YamlValue& value) {
    const YamlMap map(value,
                      {"name", "status", "exceeded", "layout", "simulated", "measured", "error"});
    StrategyReport strategy;
    strategy.name = map.require("name").string();
    strategy.status = named<Status, 4>(map.require("status"), status_name, "status");
    if (const auto exceeded = map.find("exceeded"))
        for (const YamlValue& tier : exceeded->items())
            strategy.exceeded.push_back(named<Tier, kTiers>(tier, tier_name, "memory"));
    strategy.layout = map.require("layout").string();
    strategy.simulated = read_result(map.require("simulated"), false);
    strategy.measured = read_result(map.require("measured"), true);
    strategy.error = read_error(map.require("error"), strategy.status);
    return strategy;
}

Context read_context(const YamlValue& value) {
    const YamlMap map(value,
                      {"host", "date", "version", "compiler", "backend", "calibration", "notes"});
    Context context;
    context.host = map.require("host").string();
    context.date = map.require("date").string();
    context.version = map.require("version").string();
    context.compiler = map.require("compiler").string();
    context.backend = map.require("backend").string();
    context.calibration = map.require("calibration").string();
    for (const YamlValue& note : map.require("notes").items())
        context.notes.push_back(note.string());
    return context;
}

// Before the other keys, which another version may have otherwise.
void expect_version(const YamlValue& file) {
    const YamlValue version = YamlMap::open(file).require("schema_version");
    const std::int64_t number_or_nan = version.integer(kSigned);
    if (number_or_nan == kReportSchemaVersion) return;
    version.fail("schema-version",
                 fmt::format("the report is of schema version {}, but this program reads {}",
                             number_or_nan, kReportSchemaVersion),
                 number_or_nan > kReportSchemaVersion ? "use a newer version of the program"
                                                      : "run it again to make a new report");
}

// Every entry answers for the scenario's strategy of that place.
void expect_same_strategies(const YamlValue& list, const Report& report) {
    const auto same = [](const StrategyReport& entry, const Strategy& strategy) {
        return entry.name == strategy.name;
    };
    if (!std::ranges::equal(report.strategies, report.scenario.strategies, same))
        list.fail("report", "strategies are not those of the scenario, in its order",
                  "open the report as it was written");
}

}  // namespace

Report report_from_json(const std::string& text, const std::string& path) {
    check_text(text, path);
    expect_json(text, path);
    const YamlValue file = YamlValue::parse(text, path);
    expect_version(file);
    // What is published follows from the rest.
    const YamlMap map(file, {"schema_version", "context", "scenario", "strategies", "published"});
    Report report;
    report.context = read_context(map.require("context"));
    report.scenario = read_scenario(map.require("scenario"), "", {});
    const YamlValue strategies = map.require("strategies");
    for (const YamlValue& strategy : strategies.items())
        report.strategies.push_back(read_strategy_report(strategy));
    expect_same_strategies(strategies, report);
    return report;
}

Report load_report(const std::string& path) {
    return report_from_json(read_text_file(path, "report", kReportMaxBytes), path);
}

}  // namespace shardscope
