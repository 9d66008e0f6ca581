// Random factors of simulated times, which depend on what they are for and on nothing else.
#pragma once

#include <cstdint>

namespace shardscope {

// Log-normal with mean 1 and relative standard deviation `deviation`; always the same for the same seed
// and place. Normals by Box–Muller from Philox (core/model/initialize.h).
double log_normal(std::uint64_t seed, std::uint64_t high, std::uint64_t low, double deviation);

}  // namespace shardscope
