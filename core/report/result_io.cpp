#include "core/report/result_io.h"

#include <cmath>
#include <string>

#include <nlohmann/json.hpp>

#include "core/report/estimate_io.h"

namespace shardscope {
namespace {

using Json = nlohmann::ordered_json;

// Where anything is offloaded.
void add_beside(const BesideDevice& beside, const std::string& prefix, Json& json) {
    if (!beside.any()) return;
    json[prefix + "host_bytes"] = beside.host.value;
    json[prefix + "nvme_bytes"] = beside.nvme.value;
}

Json rank_json(const RankTrace& trace, bool measured) {
    Json json;
    json["rank"] = trace.rank.value;
    if (trace.multiplicity > 1) json["multiplicity"] = trace.multiplicity;
    json["peak_bytes"] = trace.memory.peak.value;
    json["peak_phase"] = phase_name(trace.memory.peak_phase);
    for (std::size_t i = 0; i < kCategories; ++i) {
        const auto name = category_name(static_cast<Category>(i));
        json["categories"][std::string(name)] = trace.memory.categories[i].value;
    }
    if (measured) json["outside_plan_bytes"] = trace.memory.outside_plan.value;
    if (const RuntimeMemory& runtime = trace.memory.runtime; runtime.total().value > 0)
        json["runtime"] = {{"context_bytes", runtime.context.value},
                           {"workspace_bytes", runtime.workspace.value},
                           {"communicators_bytes", runtime.communicators.value}};
    add_beside(trace.memory.beside, "", json);
    if (trace.memory.process.value > 0) json["process_bytes"] = trace.memory.process.value;
    return json;
}

}  // namespace

Json number_to_json(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json result_to_json(const std::optional<Result>& result, bool measured) {
    if (!result) return nullptr;
    Json json;
    json["step_time_s"] = number_to_json(result->step_time.value);
    json["tokens_per_s"] = number_to_json(result->tokens_per_s);
    json["tokens_per_s_per_gpu"] = number_to_json(result->tokens_per_s_per_gpu);
    // No peak is known: no utilisation either.
    json["mfu"] = result->mfu > 0 ? number_to_json(result->mfu) : Json(nullptr);
    json["losses"] = Json::array();
    for (const double loss : result->losses) json["losses"].push_back(number_to_json(loss));
    Json& memory = json["memory"];
    memory["capacity_bytes"] = result->capacity.value;
    memory["peak_bytes"] = result->peak_memory().peak.value;
    memory["peak_rank"] = result->peak_rank.value;
    add_beside(result->node_beside, "node_", memory);
    add_beside(result->node_capacity, "node_capacity_", memory);
    memory["ranks"] = Json::array();
    for (const RankTrace& trace : result->ranks)
        memory["ranks"].push_back(rank_json(trace, measured));
    Json& time = json["time"];
    time["compute_s"] = number_to_json(result->time.compute.value);
    time["exposed_communication_s"] = number_to_json(result->time.exposed_communication.value);
    time["bubble_s"] = number_to_json(result->time.bubble.value);
    time["optimizer_s"] = number_to_json(result->time.optimizer.value);
    add_estimates(*result, json);
    return json;
}

Json error_to_json(const Error& error) {
    return {{"rule", error.rule}, {"message", error.message}, {"fix", error.fix}};
}

std::string json_line(const Json& json) {
    return json.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n';
}

}  // namespace shardscope
