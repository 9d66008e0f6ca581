#include "simulator/gpu_generation.h"

namespace shardscope {
namespace {

// CUTLASS's and cuBLAS's thread-block tiles. Accumulators of 256 × 128 fill a multiprocessor's
// registers; thin matrices have thin tiles.
constexpr Tile kVolta[] = {{256, 128}, {128, 256}, {128, 128}, {128, 64}, {64, 128},
                           {64, 64},   {32, 128},  {128, 32},  {32, 64},  {64, 32}};
constexpr Tile kAmpere[] = {{256, 128}, {128, 256}, {128, 128}, {256, 64}, {64, 256},
                            {128, 64},  {64, 128},  {64, 64},   {32, 128}, {128, 32},
                            {16, 128},  {128, 16},  {64, 32},   {32, 64}};
// Warp-group multiplies take any multiple of 8 columns; cuBLAS 12 has many widths.
constexpr Tile kHopper[] = {{128, 256}, {256, 128}, {192, 192}, {128, 192}, {192, 128}, {128, 160},
                            {160, 128}, {128, 128}, {256, 64},  {64, 256},  {128, 64},  {64, 128},
                            {64, 64},   {64, 32},   {32, 64},   {64, 16},   {16, 64}};
// Pairs of multiprocessors multiply 256 rows together.
constexpr Tile kBlackwell[] = {{256, 256, 2}, {256, 192, 2}, {192, 256, 2}, {256, 128, 2},
                               {128, 256, 2}, {128, 128},    {128, 64},     {64, 128},
                               {64, 64},      {64, 32},      {32, 64},      {64, 16},
                               {16, 64}};
constexpr Tile kCdna3[] = {{256, 256}, {256, 224}, {224, 256}, {256, 192}, {192, 256},
                           {256, 128}, {128, 256}, {128, 128}, {128, 64},  {64, 128},
                           {64, 64},   {32, 64},   {64, 32},   {16, 64},   {64, 16}};

// flash_1, flash_2 and vendor: forward with heads of 64 and 128, backward with both, half_sequence.
constexpr GpuGeneration kAll[] = {
    {.tiles = kVolta,
     .feed = 85,
     .tile_clocks = 800,
     .exposed_results = 0.5,
     .start_clocks = 3000,
     .cache_bytes = 20,
     .flash_1 = {0.16, 0.16, 0.12, 0.12, 512},
     .flash_2 = {0.30, 0.30, 0.22, 0.22, 512},
     .vendor = {0.30, 0.30, 0.22, 0.22, 512}},
    {.tiles = kVolta,  // Turing's multiplies are Volta's, with half the rate into shared memory
     .feed = 64,
     .tile_clocks = 800,
     .exposed_results = 0.5,
     .start_clocks = 3000,
     .cache_bytes = 16,
     .flash_1 = {0.16, 0.16, 0.12, 0.12, 512},
     .flash_2 = {0.30, 0.30, 0.22, 0.22, 512},
     .vendor = {0.30, 0.30, 0.22, 0.22, 512}},
    {.tiles = kAmpere,
     .feed = 85,
     .tile_clocks = 800,
     .exposed_results = 0.5,
     .start_clocks = 4000,
     .cache_bytes = 32,
     .flash_1 = {0.35, 0.35, 0.29, 0.29, 512},
     .flash_2 = {0.60, 0.68, 0.48, 0.57, 512},
     .vendor = {0.60, 0.68, 0.48, 0.57, 512}},
    {.tiles = kAmpere,  // Ada's multiplies are Ampere's
     .feed = 64,
     .tile_clocks = 800,
     .exposed_results = 0.5,
     .start_clocks = 4000,
     .cache_bytes = 16,
     .flash_1 = {0.41, 0.41, 0.33, 0.33, 512},
     .flash_2 = {0.70, 0.80, 0.55, 0.65, 512},
     .vendor = {0.70, 0.80, 0.55, 0.65, 512}},
    {.tiles = kHopper,
     .feed = 128,
     .tile_clocks = 300,
     .exposed_results = 0.5,
     .start_clocks = 5000,
     .cache_bytes = 24,
     .flash_1 = {0.20, 0.20, 0.17, 0.17, 512},
     .flash_2 = {0.34, 0.40, 0.28, 0.34, 512},
     .vendor = {0.48, 0.64, 0.40, 0.53, 850}},
    {.tiles = kBlackwell,
     .feed = 205,
     .tile_clocks = 300,
     .exposed_results = 0.1,
     .start_clocks = 6000,
     .cache_bytes = 32,
     .flash_1 = {0.09, 0.09, 0.075, 0.075, 512},
     .flash_2 = {0.15, 0.18, 0.12, 0.15, 512},
     .vendor = {0.44, 0.54, 0.34, 0.42, 500}},
    {.tiles = kCdna3,  // CDNA 2: half the multiply-adds of CDNA 3 per clock
     .feed = 64,
     .tile_clocks = 800,
     .exposed_results = 0.5,
     .start_clocks = 6000,
     .cache_bytes = 24,
     .flash_1 = {0.18, 0.18, 0.14, 0.14, 850},
     .flash_2 = {0.30, 0.36, 0.21, 0.27, 850},
     .vendor = {0.30, 0.36, 0.21, 0.27, 850}},
    {.tiles = kCdna3,
     .feed = 64,
     .tile_clocks = 800,
     .exposed_results = 0.5,
     .start_clocks = 6000,
     .cache_bytes = 24,
     .flash_1 = {0.15, 0.15, 0.115, 0.115, 850},
     .flash_2 = {0.25, 0.30, 0.18, 0.23, 850},
     .vendor = {0.25, 0.30, 0.18, 0.23, 850}},
    {.tiles = kCdna3,  // CDNA 4: twice the multiply-adds, fed from local memory at twice the rate
     .feed = 128,
     .tile_clocks = 800,
     .exposed_results = 0.5,
     .start_clocks = 6000,
     .cache_bytes = 24,
     .flash_1 = {0.13, 0.13, 0.10, 0.10, 850},
     .flash_2 = {0.22, 0.26, 0.155, 0.20, 850},
     .vendor = {0.22, 0.26, 0.155, 0.20, 850}},
};

}  // namespace

const GpuGeneration& generation_of(Architecture architecture) {
    return kAll[static_cast<std::size_t>(architecture)];
}

const AttentionRates& rates_of(const GpuGeneration& generation, AttentionLibrary library) {
    if (library == AttentionLibrary::vendor) return generation.vendor;
    return library == AttentionLibrary::flash_1 ? generation.flash_1 : generation.flash_2;
}

}  // namespace shardscope
