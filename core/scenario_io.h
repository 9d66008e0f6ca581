// Scenario and cluster files (YAML, hence JSON too) in and out.
//
// Every error names file:line:column, the rule, and what would work. Unknown keys are errors with
// the nearest known key; so are duplicate keys, aliases that contain themselves, NaN and numbers out
// of range. Parsing needs no environment: relative paths are taken from the file's folder.
#pragma once

#include <optional>
#include <string>

#include "core/cluster/cluster.h"
#include "core/scenario.h"

namespace shardscope {

class YamlValue;

struct ParseOptions {
    // The file `calibrate` wrote for this machine; needed by `cluster: {this_machine: …}`. Where it is
    // empty or missing, this_machine yields an uncalibrated device (Calibration::empty()).
    std::string this_machine_file;
    int cores = 1;  // of this machine, for this_machine
    Bytes memory;   // of this machine, for this_machine
};

// Reads, fills every default and validates what can be said without lowering: degrees that divide,
// positive sizes, unique names, batches that divide (validate_strategy per strategy is separate, so
// that one invalid strategy does not hide the others).
Scenario load_scenario(const std::string& path, const ParseOptions& options);
Scenario parse_scenario(const std::string& text, const std::string& path,
                        const ParseOptions& options);

// The same of a part of a file; `folder` is put before relative paths, "" or one with its slash. The result
// has no Scenario::file, and needs a name of its own.
Scenario read_scenario(const YamlValue& value, const std::string& folder,
                       const ParseOptions& options);

// What to put before paths that are relative to `file`: "" or its folder with a slash.
std::string folder_of(const std::string& file);

// The same of a part of a file; `folder` is put before relative paths, "" or one with its slash. The result
// has no Scenario::file, and needs a name of its own.
Scenario read_scenario(const YamlValue& value, const std::string& folder,
                       const ParseOptions& options);

Cluster load_cluster(const std::string& path);
// The cluster as YAML that load_cluster reads back to an equal value.
std::string cluster_to_yaml(const Cluster& cluster);

// The scenario with every default filled in, as YAML that parse_scenario reads back to an equal value.
std::string scenario_to_yaml(const Scenario& scenario);
// The same as JSON text (the `scenario` member of reports).
std::string scenario_to_json(const Scenario& scenario);

}  // namespace shardscope
