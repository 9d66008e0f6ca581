#include "core/validation/validation_io.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/report/csv_text.h"
#include "core/report/result_io.h"

namespace shardscope {
namespace {

using Json = nlohmann::ordered_json;

// "mape": mean of |error|, "bias": mean of error, both in percent; "n": runs.
Json errors_json(const ErrorStatistics& errors) {
    Json json;
    json["n"] = errors.runs;
    json["mape"] = number_to_json(100 * errors.mape);
    json["median_ape"] = number_to_json(100 * errors.median);
    json["max_ape"] = number_to_json(100 * errors.worst);
    json["max_ape_id"] = nullptr;
    if (errors.runs > 0) json["max_ape_id"] = errors.worst_id;
    json["bias"] = number_to_json(100 * errors.bias);
    return json;
}

// The last group, which is all of them, and beside it each family's.
Json groups_json(const std::vector<ErrorGroup>& groups) {
    Json json = errors_json(groups.back().errors);
    json["per_family"] = Json::object();
    for (const ErrorGroup& group : groups)
        if (&group != &groups.back()) json["per_family"][group.family] = errors_json(group.errors);
    return json;
}

Json skips_json(const Validation& validation, const std::optional<Error> Prediction::*why) {
    Json json = Json::array();
    for (const ValidatedRun& run : validation.runs)
        if (const auto& error = run.prediction.*why)
            json.push_back({{"id", run.run.id}, {"reason", reason_of(*error)}});
    return json;
}

Json memory_json(const Validation& validation) {
    Json json = groups_json(memory_errors_by_family(validation));
    json["per_kind"] = Json::object();
    for (const ErrorGroup& group : memory_errors(validation))
        if (!group.kind.empty())
            json["per_kind"][group.kind][group.family] = errors_json(group.errors);
    json["skipped"] = skips_json(validation, &Prediction::no_peak);
    return json;
}

Json verdicts_json(const Verdicts& verdicts) {
    return {{"fits", verdicts.fits.size()}, {"does_not_fit", verdicts.does_not_fit.size()}};
}

template <class T>
Json or_null(const std::optional<T>& value) {
    return value ? Json(*value) : Json(nullptr);
}

std::optional<double> predicted_time(const ValidatedRun& run) {
    if (run.prediction.skipped) return std::nullopt;
    return run.prediction.time.wall.value;
}

std::optional<double> predicted_gib(const ValidatedRun& run) {
    if (run.prediction.skipped || !run.prediction.peak) return std::nullopt;
    return gib(*run.prediction.peak);
}

Json assumed_json(const Prediction& prediction) {
    Json json = Json::object();
    for (const Assumption& assumption : prediction.assumed)
        json[assumption.column] = assumption.value;
    return json;
}

Json details_json(const ValidatedRun& run) {
    Json json;
    json["id"] = run.run.id;
    json["family"] = run.run.family;
    json["predicted_step_time_s"] = or_null(predicted_time(run));
    json["measured_step_time_s"] = or_null(run.run.measured_step_time());
    json["predicted_peak_gib"] = or_null(predicted_gib(run));
    json["measured_peak_gib"] = or_null(run.run.peak_memory_gib);
    json["memory_kind"] = nullptr;
    if (const std::string kind = run.memory_kind(); !kind.empty()) json["memory_kind"] = kind;
    json["out_of_memory"] = run.run.out_of_memory;
    if (run.prediction.skipped) return json;
    const StepTime& time = run.prediction.time;
    json["time"] = {{"compute_s", time.compute.value},
                    {"exposed_communication_s", time.exposed_communication.value},
                    {"bubble_s", time.bubble.value},
                    {"optimizer_s", time.optimizer.value}};
    json["cluster"] = run.prediction.cluster;
    json["precision"] = run.prediction.precision;
    json["layout"] = run.prediction.layout;
    json["fits"] = run.prediction.fits;
    json["assumed"] = assumed_json(run.prediction);
    return json;
}

std::string cell(const std::optional<double>& value) { return value ? csv_number(*value) : ""; }

std::string error_cell(const std::optional<double>& predicted,
                       const std::optional<double>& measured) {
    if (!predicted || !measured) return "";
    return fmt::format("{:.2f}", 100 * (*predicted / *measured - 1));
}

std::vector<std::string> csv_fields(const ValidatedRun& run) {
    const Prediction& prediction = run.prediction;
    std::vector<std::string> fields{run.run.id,        run.run.family,     run.run.model,
                                    run.run.framework, prediction.cluster, prediction.precision,
                                    prediction.layout};
    const auto measured = run.run.measured_step_time();
    for (const auto& value : {predicted_time(run), measured}) fields.push_back(cell(value));
    fields.push_back(error_cell(predicted_time(run), measured));
    for (const Seconds part : {prediction.time.compute, prediction.time.exposed_communication,
                               prediction.time.bubble, prediction.time.optimizer})
        fields.push_back(prediction.skipped ? "" : csv_number(part.value));
    fields.push_back(run.memory_kind());
    for (const auto& value : {predicted_gib(run), run.run.peak_memory_gib})
        fields.push_back(cell(value));
    fields.push_back(error_cell(predicted_gib(run), run.run.peak_memory_gib));
    fields.push_back(prediction.skipped ? "" : prediction.fits ? "fits" : "does_not_fit");
    std::string assumed;
    for (const Assumption& a : prediction.assumed)
        assumed += fmt::format("{}{}={}", assumed.empty() ? "" : "; ", a.column, a.value);
    fields.push_back(assumed);
    fields.push_back(prediction.skipped   ? reason_of(*prediction.skipped)
                     : prediction.no_peak ? reason_of(*prediction.no_peak)
                                          : "");
    fields.push_back(run.run.out_of_memory ? "out_of_memory" : "made");
    return fields;
}

}  // namespace

std::string validation_to_json(const Validation& validation) {
    const Context& context = validation.context;
    Json json;
    json["schema_version"] = kValidationSchemaVersion;
    json["context"] = {{"host", context.host},
                       {"date", context.date},
                       {"version", context.version},
                       {"compiler", context.compiler},
                       {"backend", context.backend}};
    json["file"] = validation.file;
    json["rows"] = validation.runs.size();
    json["columns_not_read"] = validation.columns_not_read;
    json["skipped"] = skips_json(validation, &Prediction::skipped);
    json["time"] = groups_json(time_errors(validation));
    json["memory"] = memory_json(validation);
    json["verdicts"] = {{"made", verdicts_json(verdicts_of_made(validation))},
                        {"out_of_memory", verdicts_json(verdicts_of_out_of_memory(validation))}};
    json["details"] = Json::array();
    for (const ValidatedRun& run : validation.runs) json["details"].push_back(details_json(run));
    return json.dump(2, ' ', false, Json::error_handler_t::replace) + '\n';
}

std::string validation_to_csv(const Validation& validation) {
    std::string text = csv_line({"id",
                                 "family",
                                 "model",
                                 "framework",
                                 "cluster",
                                 "precision",
                                 "layout",
                                 "predicted_step_time_s",
                                 "measured_step_time_s",
                                 "time_error_percent",
                                 "compute_s",
                                 "exposed_communication_s",
                                 "bubble_s",
                                 "optimizer_s",
                                 "memory_kind",
                                 "predicted_peak_gib",
                                 "measured_peak_gib",
                                 "memory_error_percent",
                                 "verdict",
                                 "assumed",
                                 "remark",
                                 "outcome"});
    for (const ValidatedRun& run : validation.runs) text += csv_line(csv_fields(run));
    return text;
}

}  // namespace shardscope
