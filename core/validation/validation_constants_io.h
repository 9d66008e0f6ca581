// Constants other than those that the program is shipped with, for fitting them: `validate --constants`.
#pragma once

#include <map>
#include <string>

#include "core/cluster/cluster.h"

namespace shardscope {

// What is not stated stays as it is.
struct ValidationConstants {
    std::map<Architecture, double> training_efficiency, memory_efficiency;  // Device's
    std::map<LinkType, double> link_efficiency;                             // Link::efficiency
    std::map<RuntimeProfile, ProfileConstants> profiles;
};

void apply_constants(const ValidationConstants& constants, Cluster& cluster);

// YAML: `architectures: {ampere: {training_efficiency: 0.9, memory_efficiency: 0.8}}`, `links: {infiniband: {efficiency: 0.9}}`,
// `profiles: {megatron: {launch: 20us, process: 2GiB, scratch: 4}}`. Throws Error with file:line:column,
// "unknown-key" and what YamlValue throws; "file" where it cannot be read.
ValidationConstants parse_constants(const std::string& text, const std::string& file);
ValidationConstants load_constants(const std::string& path);

}  // namespace shardscope
