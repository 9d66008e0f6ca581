#include "core/report/report_io.h"

#include <limits>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/published_io.h"
#include "core/report/csv_text.h"
#include "core/report/published_comparison.h"
#include "core/report/result_io.h"
#include "core/scenario_io.h"

namespace shardscope {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kUnknownFigure = std::numeric_limits<double>::quiet_NaN();

Json strategy_json(const StrategyReport& strategy) {
    Json json;
    json["name"] = strategy.name;
    json["status"] = status_name(strategy.status);
    for (const Tier tier : strategy.exceeded) json["exceeded"].push_back(tier_name(tier));
    json["layout"] = strategy.layout;
    json["simulated"] = result_to_json(strategy.simulated, false);
    json["measured"] = result_to_json(strategy.measured, true);
    json["error"] = nullptr;
    if (const auto& error = strategy.error) json["error"] = error_to_json(*error);
    return json;
}

Json context_json(const Report& report) {
    const Context& context = report.context;
    Json json;
    json["host"] = context.host;
    json["date"] = context.date;
    json["version"] = context.version;
    json["compiler"] = context.compiler;
    json["backend"] = context.backend;
    json["calibration"] = context.calibration;
    json["notes"] = all_notes(report);
    return json;
}

std::vector<std::string> csv_columns() {
    std::vector<std::string> columns{"strategy",
                                     "status",
                                     "layout",
                                     "result",
                                     "step_time_s",
                                     "tokens_per_s",
                                     "tokens_per_s_per_gpu",
                                     "mfu",
                                     "compute_s",
                                     "exposed_communication_s",
                                     "bubble_s",
                                     "optimizer_s",
                                     "first_loss",
                                     "last_loss",
                                     "capacity_bytes",
                                     "peak_bytes",
                                     "peak_rank",
                                     "peak_phase"};
    for (std::size_t i = 0; i < kCategories; ++i)
        columns.push_back(std::string(category_name(static_cast<Category>(i))) + "_bytes");
    columns.insert(columns.end(), {"mean_s", "p5_s", "p50_s", "p95_s"});
    columns.insert(columns.end(), {"run_s", "goodput", "energy_j", "price"});
    columns.insert(columns.end(), {"error_rule", "error_message", "error_fix"});
    return columns;
}

Json published_json(const PublishedComparison& comparison) {
    Json json = published_to_json({comparison.figure}).front();
    json["simulated"] = comparison.ours ? Json(*comparison.ours) : Json(nullptr);
    json["difference"] = comparison.difference ? Json(*comparison.difference) : Json(nullptr);
    return json;
}

void add_variation(const std::optional<StepVariation>& variation,
                   std::vector<std::string>& fields) {
    const StepVariation steps = variation.value_or(StepVariation{});
    for (const Seconds time : {steps.mean, steps.p5, steps.p50, steps.p95})
        fields.push_back(csv_number(variation ? time.value : kUnknownFigure));
}

void add_run(const std::optional<RunEstimate>& estimate, std::vector<std::string>& fields) {
    const RunEstimate run = estimate.value_or(RunEstimate{});
    const double goodput = run.goodput ? run.goodput->part : kUnknownFigure;
    const auto known = [](double value) { return value > 0 ? value : kUnknownFigure; };
    for (const double value :
         {known(run.expected.value), goodput, known(run.energy.value), known(run.price)})
        fields.push_back(csv_number(value));
}

// The fields between `result` and the error; as many empty ones where there is no result.
std::vector<std::string> csv_result(const Result* result) {
    if (!result) return std::vector<std::string>(csv_columns().size() - 7);
    const MemoryUse& memory = result->peak_memory();
    const auto& losses = result->losses;
    std::vector<std::string> fields;
    for (const double value :
         {result->step_time.value, result->tokens_per_s, result->tokens_per_s_per_gpu,
          result->mfu > 0 ? result->mfu : kUnknownFigure, result->time.compute.value,
          result->time.exposed_communication.value, result->time.bubble.value,
          result->time.optimizer.value}) {
        fields.push_back(csv_number(value));
    }
    fields.push_back(losses.empty() ? "" : csv_number(losses.front()));
    fields.push_back(losses.empty() ? "" : csv_number(losses.back()));
    fields.push_back(fmt::format("{}", result->capacity.value));
    fields.push_back(fmt::format("{}", memory.peak.value));
    fields.push_back(fmt::format("{}", result->peak_rank.value));
    fields.emplace_back(phase_name(memory.peak_phase));
    for (const Bytes bytes : memory.categories) fields.push_back(fmt::format("{}", bytes.value));
    add_variation(result->variation, fields);
    add_run(result->run, fields);
    return fields;
}

std::string csv_row(const StrategyReport& strategy, std::string_view kind, const Result* result) {
    std::vector<std::string> fields{strategy.name, std::string(status_name(strategy.status)),
                                    strategy.layout, std::string(kind)};
    const auto figures = csv_result(result);
    fields.insert(fields.end(), figures.begin(), figures.end());
    if (const auto& error = strategy.error) {
        fields.insert(fields.end(), {error->rule, error->message, error->fix});
    } else {
        fields.insert(fields.end(), {"", "", ""});
    }
    return csv_line(fields);
}

}  // namespace

std::string report_to_json(const Report& report) {
    Json json;
    json["schema_version"] = kReportSchemaVersion;
    json["context"] = context_json(report);
    json["scenario"] = Json::parse(scenario_to_json(report.scenario));
    json["strategies"] = Json::array();
    for (const StrategyReport& strategy : report.strategies)
        json["strategies"].push_back(strategy_json(strategy));
    for (const PublishedComparison& comparison : compare_published(report))
        json["published"].push_back(published_json(comparison));
    // Paths and host names are bytes to the operating system; JSON must be UTF-8 all the same.
    return json.dump(2, ' ', false, Json::error_handler_t::replace) + '\n';
}

std::string report_to_csv(const Report& report) {
    std::string text = csv_line(csv_columns());
    for (const StrategyReport& strategy : report.strategies) {
        if (strategy.simulated) text += csv_row(strategy, "simulated", &*strategy.simulated);
        if (strategy.measured) text += csv_row(strategy, "measured", &*strategy.measured);
        if (!strategy.simulated && !strategy.measured) text += csv_row(strategy, "", nullptr);
    }
    return text;
}

}  // namespace shardscope
