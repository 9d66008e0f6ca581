// Clusters that a program asks for itself, with the words that a scenario would use, and what is known
// of this machine's speed.
#pragma once

#include <optional>
#include <string>

#include "core/cluster/cluster.h"
#include "core/machine.h"
#include "core/scenario_io.h"

namespace shardscope {

// A cluster of the catalogue (core/catalogue.h).
Cluster catalogue_cluster(const std::string& name);

// `cluster: {this_machine: {ranks: …, threads: …}}`; at most kMostThreads of each.
inline constexpr int kMostThreads = 1024;
Cluster this_machine_cluster(int ranks, int threads, const ParseOptions& options);

// Throws "not-calibrated" if the ranks are this machine's and its speed is not known.
void require_calibration(const Cluster& cluster, const std::string& calibration_file);

// A note when the calibration is another machine's.
std::optional<std::string> calibration_note(const Cluster& cluster, const Machine& machine);

}  // namespace shardscope
