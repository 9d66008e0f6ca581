// The `published:` part of a scenario: docs/scenario.md has the keys.
#pragma once

#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "core/published.h"
#include "core/strategy/strategy.h"
#include "core/yaml_reader.h"

namespace shardscope {

// Every figure is of one of `strategies`; of the only one where it does not say which.
std::vector<PublishedFigure> read_published(const YamlValue& value,
                                            const std::vector<Strategy>& strategies);

nlohmann::ordered_json published_to_json(const std::vector<PublishedFigure>& figures);

}  // namespace shardscope
