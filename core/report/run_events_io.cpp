#include "core/report/run_events_io.h"

#include <nlohmann/json.hpp>

#include "core/report/result_io.h"

namespace shardscope {
namespace {

using Json = nlohmann::ordered_json;

Json of_strategy(const char* event, const std::string& strategy) {
    return {{"event", event}, {"strategy", strategy}};
}

}  // namespace

std::string started_event(const RunningStrategy& run) {
    Json json = of_strategy("started", run.report.name);
    json["layout"] = run.report.layout;
    json["backend"] = run.backend;
    json["ranks"] = run.ranks;
    json["steps"] = run.steps;
    json["rate"] = run.tokens ? "tokens" : "samples";
    return json_line(json);
}

std::string step_event(const std::string& strategy, const StepProgress& progress, double rate) {
    Json json = of_strategy("step", strategy);
    json["step"] = progress.step;
    json["steps"] = progress.steps;
    json["loss"] = number_to_json(progress.loss);
    json["tokens_per_s"] = number_to_json(rate);
    json["elapsed_s"] = number_to_json(progress.elapsed.value);
    json["memory_bytes"] = Json::array();
    for (const Bytes bytes : progress.memory) json["memory_bytes"].push_back(bytes.value);
    return json_line(json);
}

std::string finished_event(const StrategyReport& report) {
    Json json = of_strategy("finished", report.name);
    json["status"] = status_name(report.status);
    json["result"] = result_to_json(report.measured, true);
    return json_line(json);
}

std::string failed_event(const StrategyReport& report, const Error& error) {
    Json json = of_strategy("failed", report.name);
    json["status"] = status_name(report.status);
    json.update(error_to_json(error));
    return json_line(json);
}

std::string cancelled_event(const StrategyReport& report, std::int64_t step, std::int64_t steps) {
    Json json = of_strategy("cancelled", report.name);
    json["step"] = step;
    json["steps"] = steps;
    json["result"] = result_to_json(report.measured, true);
    return json_line(json);
}

std::string ended_event(int exit_code, bool cancelled, const std::optional<std::string>& report,
                        const std::optional<Error>& error) {
    Json json = {{"event", "ended"}, {"exit_code", exit_code}, {"cancelled", cancelled}};
    json["report"] = report ? Json(*report) : Json(nullptr);
    json["error"] = error ? error_to_json(*error) : Json(nullptr);
    return json_line(json);
}

}  // namespace shardscope
