// Parts of reports as JSON, which events of a run (run_events_io.h) have too.
#pragma once

#include <optional>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "core/error.h"
#include "core/report/report.h"

namespace shardscope {

// docs/report.md's RESULT; null where there is none. `measured`: with what only measurements have.
nlohmann::ordered_json result_to_json(const std::optional<Result>& result, bool measured);

nlohmann::ordered_json error_to_json(const Error& error);  // {rule, message, fix}

// JSON has no NaN: a figure that is not known is null.
nlohmann::ordered_json number_to_json(double value);

// On one line, as UTF-8 whatever the strings hold.
std::string json_line(const nlohmann::ordered_json& json);

}  // namespace shardscope
