// Clusters that a command asks for itself, with the words that a scenario would use.
#pragma once

#include <string>

#include "core/cluster/cluster.h"
#include "core/scenario_io.h"

namespace shardscope {

// A cluster of the catalogue (core/catalogue.h).
Cluster catalogue_cluster(const std::string& name);

// `cluster: {this_machine: {ranks: …, threads: …}}`; at most kMostThreads of each.
inline constexpr int kMostThreads = 1024;
Cluster this_machine_cluster(int ranks, int threads, const ParseOptions& options);

}  // namespace shardscope
