// Grids, blocks and shared memory of every kernel: pure functions of the problem and the device, tested
// without one.
#pragma once

#include <cstdint>

namespace shardscope::cuda {

struct Extent {
    std::uint32_t x = 1, y = 1, z = 1;
};

struct Geometry {
    Extent grid, block;
    std::uint32_t shared_bytes = 0;  // dynamic shared memory of a block
};

// What launches depend on.
struct DeviceShape {
    int multiprocessors = 1;
    int compute_capability = 80;            // 10 · major + minor
    std::int64_t shared_per_block = 49152;  // that a block may ask for (opt-in limit), bytes
};

// CUDA's limits on every supported device.
inline constexpr std::uint32_t kMostThreads = 1024;  // of a block
inline constexpr std::uint32_t kMostGridX = 0x7FFFFFFFu;
inline constexpr std::uint32_t kMostGridYZ = 65535;
inline constexpr int kWarp = 32;

}  // namespace shardscope::cuda
