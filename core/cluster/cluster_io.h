// Cluster files and the `cluster:` part of a scenario: docs/scenario.md has the keys.
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include "core/cluster/cluster.h"
#include "core/scenario_io.h"
#include "core/yaml_reader.h"

namespace shardscope {

// Reads a catalogue name, {gpu: …}, {file: …}, {this_machine: …} or a whole description. Keys beside
// gpu and file change what the catalogue or the file says. `folder` is put before relative paths.
Cluster read_cluster(const YamlValue& value, const std::string& folder,
                     const ParseOptions& options);

// The whole description as a map that read_cluster and load_cluster read back to an equal value.
nlohmann::ordered_json cluster_to_json(const Cluster& cluster);

}  // namespace shardscope
