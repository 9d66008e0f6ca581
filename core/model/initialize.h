// Initial weights from a counter-based generator keyed by seed, parameter name and element index, so
// that any slice of a parameter can be drawn alone and every sharding starts from the same model.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "core/model/model.h"

namespace shardscope {

// Philox-4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11): four 32-bit
// words from a 128-bit counter and a 64-bit key.
struct Philox {
    std::uint64_t key = 0;
    void operator()(std::uint64_t counter_low, std::uint64_t counter_high,
                    std::uint32_t (&out)[4]) const;
};

// The key of the generator that belongs to `name`: seed ^ FNV-1a(name).
std::uint64_t stream_key(std::uint64_t seed, std::string_view name);

// Fills `out` with the initial values of elements [first, first + out.size()) of `parameter`.
// Normals by Box–Muller in double precision. Thread-safe.
void initial_values(const Parameter& parameter, std::uint64_t seed, std::int64_t first,
                    std::span<double> out);

}  // namespace shardscope
