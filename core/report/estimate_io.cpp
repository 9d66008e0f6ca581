#include "core/report/estimate_io.h"

#include <cmath>
#include <limits>

#include <nlohmann/json.hpp>

#include "core/report/result_io.h"

namespace shardscope {
namespace {

using Json = nlohmann::ordered_json;

constexpr IntegerRange kCount{0, INT64_MAX};
constexpr IntegerRange kSmallCount{0, INT32_MAX};

double number_or_infinity(const YamlMap& map, std::string_view key) {
    const YamlValue value = map.require(key);
    return value.is_null() ? std::numeric_limits<double>::infinity() : value.number(kFinite);
}
// Zero is not known.
Json positive(double value) { return value > 0 ? number_to_json(value) : Json(nullptr); }
double positive(const YamlMap& map, std::string_view key) {
    const YamlValue value = map.require(key);
    return value.is_null() ? 0 : value.number(kFinite);
}
Seconds seconds_or_infinity(const YamlMap& map, std::string_view key) {
    return Seconds(number_or_infinity(map, key));
}

Json goodput_json(const Goodput& g) {
    Json json;
    json["mtbf_s"] = g.mtbf.value;
    json["checkpoint_bytes"] = g.checkpoint.value;
    json["write_s"] = g.write.value;
    json["interval_s"] = g.interval.value;
    json["best_interval"] = g.best_interval;
    json["restart_s"] = g.restart.value;
    json["expected_s"] = number_to_json(g.expected.value);
    json["goodput"] = number_to_json(g.part);
    json["failures"] = number_to_json(g.failures);
    json["runs"] = g.runs;
    if (g.runs == 0) return json;
    json["p5_s"] = g.p5.value;
    json["p50_s"] = g.p50.value;
    json["p95_s"] = g.p95.value;
    json["mean_s"] = g.mean.value;
    json["standard_error_s"] = g.standard_error.value;
    return json;
}

Goodput read_goodput(const YamlValue& value) {
    const YamlMap map(value, {"mtbf_s", "checkpoint_bytes", "write_s", "interval_s",
                              "best_interval", "restart_s", "expected_s", "goodput", "failures",
                              "runs", "p5_s", "p50_s", "p95_s", "mean_s", "standard_error_s"});
    Goodput g;
    g.mtbf = seconds_or_infinity(map, "mtbf_s");
    g.checkpoint = Bytes(map.require("checkpoint_bytes").integer(kCount));
    g.write = seconds_or_infinity(map, "write_s");
    g.interval = seconds_or_infinity(map, "interval_s");
    g.best_interval = map.require("best_interval").boolean();
    g.restart = seconds_or_infinity(map, "restart_s");
    g.expected = seconds_or_infinity(map, "expected_s");
    g.part = number_or_infinity(map, "goodput");
    g.failures = number_or_infinity(map, "failures");
    g.runs = static_cast<int>(map.require("runs").integer(kSmallCount));
    if (g.runs == 0) return g;
    g.p5 = seconds_or_infinity(map, "p5_s");
    g.p50 = seconds_or_infinity(map, "p50_s");
    g.p95 = seconds_or_infinity(map, "p95_s");
    g.mean = seconds_or_infinity(map, "mean_s");
    g.standard_error = seconds_or_infinity(map, "standard_error_s");
    return g;
}

Json run_json(const RunEstimate& run) {
    Json json;
    json["steps"] = run.steps;
    json["ideal_s"] = run.ideal.value;
    json["expected_s"] = number_to_json(run.expected.value);
    json["gpu_hours"] = number_to_json(run.gpu_hours);
    json["gpu_power_w"] = positive(run.gpu_power.value);
    json["power_w"] = positive(run.power.value);
    json["step_energy_j"] = positive(run.step_energy.value);
    json["energy_j"] = positive(run.energy.value);
    json["price"] = positive(run.price);
    if (run.goodput) json["goodput"] = goodput_json(*run.goodput);
    return json;
}

RunEstimate read_run_estimate(const YamlValue& value) {
    const YamlMap map(value, {"steps", "ideal_s", "expected_s", "gpu_hours", "gpu_power_w",
                              "power_w", "step_energy_j", "energy_j", "price", "goodput"});
    RunEstimate run;
    run.steps = map.require("steps").integer(kCount);
    run.ideal = seconds_or_infinity(map, "ideal_s");
    run.expected = seconds_or_infinity(map, "expected_s");
    run.gpu_hours = number_or_infinity(map, "gpu_hours");
    run.gpu_power = Watts(positive(map, "gpu_power_w"));
    run.power = Watts(positive(map, "power_w"));
    run.step_energy = Joules(positive(map, "step_energy_j"));
    run.energy = Joules(positive(map, "energy_j"));
    run.price = positive(map, "price");
    if (const auto goodput = map.find("goodput")) run.goodput = read_goodput(*goodput);
    return run;
}

Json variation_json(const StepVariation& variation) {
    Json json;
    json["kernel_jitter"] = variation.disturbance.kernel_jitter;
    json["rank_jitter"] = variation.disturbance.rank_jitter;
    json["stragglers"] = Json::array();
    for (const Straggler& straggler : variation.disturbance.stragglers)
        json["stragglers"].push_back(
            {{"rank", straggler.rank.value}, {"factor", straggler.factor}});
    json["seed"] = variation.disturbance.seed;
    json["steps"] = variation.steps;
    json["mean_s"] = variation.mean.value;
    json["p5_s"] = variation.p5.value;
    json["p50_s"] = variation.p50.value;
    json["p95_s"] = variation.p95.value;
    json["busy_s"] = variation.busy.value;
    return json;
}

StepVariation read_variation(const YamlValue& value) {
    const YamlMap map(value, {"kernel_jitter", "rank_jitter", "stragglers", "seed", "steps",
                              "mean_s", "p5_s", "p50_s", "p95_s", "busy_s"});
    StepVariation variation;
    variation.disturbance.kernel_jitter = number_or_infinity(map, "kernel_jitter");
    variation.disturbance.rank_jitter = number_or_infinity(map, "rank_jitter");
    for (const YamlValue& item : map.require("stragglers").items()) {
        const YamlMap straggler(item, {"rank", "factor"});
        const auto rank = straggler.require("rank").integer(kSmallCount);
        variation.disturbance.stragglers.push_back(
            {Rank(static_cast<std::int32_t>(rank)), number_or_infinity(straggler, "factor")});
    }
    variation.disturbance.seed = map.require("seed").seed();
    variation.steps = static_cast<int>(map.require("steps").integer(kSmallCount));
    variation.mean = seconds_or_infinity(map, "mean_s");
    variation.p5 = seconds_or_infinity(map, "p5_s");
    variation.p50 = seconds_or_infinity(map, "p50_s");
    variation.p95 = seconds_or_infinity(map, "p95_s");
    if (map.find("busy_s")) variation.busy = seconds_or_infinity(map, "busy_s");
    return variation;
}

Json accuracy_json(const std::optional<AccuracyRow>& row) {
    if (!row) return nullptr;
    return {{"profile", row->profile},   {"architecture", row->architecture},
            {"quantity", row->quantity}, {"rows", row->rows},
            {"mape", row->mape},         {"p90", row->p90},
            {"bias", row->bias}};
}

std::optional<AccuracyRow> read_accuracy_row(const YamlValue& value) {
    if (value.is_null()) return std::nullopt;
    const YamlMap map(value,
                      {"profile", "architecture", "quantity", "rows", "mape", "p90", "bias"});
    AccuracyRow row;
    row.profile = map.require("profile").string();
    row.architecture = map.require("architecture").string();
    row.quantity = map.require("quantity").string();
    row.rows = static_cast<std::size_t>(map.require("rows").integer(kCount));
    row.mape = number_or_infinity(map, "mape");
    row.p90 = number_or_infinity(map, "p90");
    row.bias = number_or_infinity(map, "bias");
    return row;
}

}  // namespace

void add_estimates(const Result& result, nlohmann::ordered_json& json) {
    if (result.run) json["run"] = run_json(*result.run);
    if (result.variation) json["variation"] = variation_json(*result.variation);
    if (result.basis)
        json["basis"] = {{"time", accuracy_json(result.basis->time)},
                         {"memory", accuracy_json(result.basis->memory)},
                         {"process", accuracy_json(result.basis->process)},
                         {"own", result.basis->own},
                         {"constants", result.basis->constants}};
}

void read_estimates(const YamlMap& map, Result& result) {
    if (const auto run = map.find("run")) result.run = read_run_estimate(*run);
    if (const auto variation = map.find("variation")) result.variation = read_variation(*variation);
    if (const auto found = map.find("basis")) {
        const YamlMap basis(*found, {"time", "memory", "process", "own", "constants"});
        result.basis = Basis{read_accuracy_row(basis.require("time")),
                             read_accuracy_row(basis.require("memory")),
                             std::nullopt,
                             {},
                             basis.require("constants").string()};
        if (const auto process = basis.find("process"))
            result.basis->process = read_accuracy_row(*process);
        if (const auto own = basis.find("own"))
            for (const YamlValue& constant : own->items())
                result.basis->own.push_back(constant.string());
    }
}

}  // namespace shardscope
