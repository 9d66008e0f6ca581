// A whole cluster description (a cluster file's content) as a set of changes to a Cluster.
#pragma once

#include "core/cluster/cluster.h"
#include "core/yaml_reader.h"

namespace shardscope {

inline constexpr IntegerRange kNodes{1, 1'000'000};
inline constexpr IntegerRange kPerNode{1, 4096};
inline constexpr IntegerRange kWorld{1, 1'000'000};
// Of one rank; also ranks of this machine, which are threads and may be more than its cores.
inline constexpr IntegerRange kThreads{1, 1024};

// Reads the keys of docs/scenario.md's cluster table that are there into `cluster`; `map` may know
// further keys.
void apply_description(const YamlMap& map, Cluster& cluster);

// Constants of profiles by name, as `device.profiles` has them, into `profiles`: what is not stated stays as it is
// there, or as fitted.
void read_profiles(const YamlValue& value, std::map<RuntimeProfile, ProfileConstants>& profiles);

// Throws "missing-key" where what a simulation needs is still unset: memory, a peak, bandwidths of
// the memory and of the links that the size makes necessary. Throws "range" where the world is too
// large. An uncalibrated `this_machine` needs nothing.
void check_complete(const YamlValue& value, const Cluster& cluster);

}  // namespace shardscope
