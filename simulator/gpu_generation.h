// What is alike in all GPUs of one generation: the tiles that its libraries' multiplies use, how fast
// tensor cores are fed, what a tile costs besides its multiply-adds, and how well fused attention uses
// the tensor cores. The only constants of the kernel model that are not in a cluster file;
// docs/cost-model.md gives the source of each.
#pragma once

#include <array>
#include <span>

#include "core/cluster/cluster.h"

namespace shardscope {

// A block of C that one work group computes at once, on `multiprocessors` of them together.
struct Tile {
    int m = 0, n = 0;
    int multiprocessors = 1;
};

// Rates as fractions of the dense peak of the precision, for long sequences; causal FLOPs counted as
// half the square.
struct AttentionRates {
    double forward_64 = 0, forward_128 = 0;  // head sizes up to 64, and of 128 and more
    double backward_64 = 0, backward_128 = 0;
    double half_sequence = 0;  // tokens at which half of that is reached
};

// Which program computes fused attention.
enum class AttentionLibrary : std::uint8_t {
    flash_1,  // FlashAttention of 2022 and Triton kernels after it
    flash_2,  // FlashAttention-2 and PyTorch's own copy of it
    vendor,   // the generation's best: cuDNN, FlashAttention-3, Composable Kernel
};

struct GpuGeneration {
    std::span<const Tile> tiles;
    double feed = 0;         // operand bytes per clock that reach a multiprocessor's tensor cores
    double tile_clocks = 0;  // of every tile: first operands in, as far as not hidden
    double exposed_results = 0;  // part of the time to write a tile's results that nothing hides
    double start_clocks = 0;     // of every kernel: until the first tile computes
    double cache_bytes = 0;      // per clock and multiprocessor, from the last-level cache
    AttentionRates flash_1, flash_2, vendor;
};

const GpuGeneration& generation_of(Architecture architecture);

const AttentionRates& rates_of(const GpuGeneration& generation, AttentionLibrary library);

}  // namespace shardscope
