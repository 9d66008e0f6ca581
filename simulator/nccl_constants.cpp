#include "simulator/nccl_constants.h"

#include <algorithm>
#include <cmath>

namespace shardscope {
namespace {

constexpr double kMicro = 1e-6;

constexpr std::array<const char*, kAlgorithms> kAlgorithmNames{
    "ring", "tree", "nvls", "nvls-tree", "collnet-direct", "collnet-chain", "pat"};
constexpr std::array<const char*, kProtocols> kProtocolNames{"ll", "ll128", "simple"};

// Microseconds, [algorithm][protocol], algorithms in the enum's order.
using Latencies = std::array<ByProtocol, kAlgorithms>;
constexpr Latencies kBase{{{6.6, 14.0, 8.4},
                           {6.8, 14.0, 8.4},
                           {0, 0, 0},
                           {0, 0, 0},
                           {0, 0, 0},
                           {0, 0, 0},
                           {8.0, 8.0, 8.0}}};
constexpr std::array<Latencies, 3> kHops{{
    // NVLink
    {{{0.6, 1.9, 3.4},
      {0.6, 1.25, 4.0},
      {0, 0, 25},
      {0, 0, 25},
      {0, 0, 3.7},
      {0, 0, 2.8},
      {0, 0, 4.0}}},
    // PCIe
    {{{1.0, 2.5, 5.7},
      {1.0, 1.9, 4.0},
      {0, 0, 0},
      {0, 0, 0},
      {0, 0, 3.7},
      {0, 0, 2.8},
      {0, 0, 4.0}}},
    // network
    {{{2.7, 4.0, 14.0},
      {5.0, 8.5, 14.0},
      {0, 0, 18},
      {0, 0, 20.9},
      {0, 0, 31},
      {0, 0, 30},
      {0, 0, 14}}},
}};

// For 64 B, 128 B, … 256 MiB.
constexpr std::size_t kCorrections = 23;
constexpr std::array<std::array<double, kCorrections>, kProtocols> kTreeCorrection{{
    {1, 1, 1, 1, .9, .8, .7, .7, .7, .7, .6, .5, .4, .4, .5, .6, .7, .8, .9, 1, 1, 1, 1},
    {1, 1, 1, 1, 1, .9, .8, .8, .8, .7, .6, .6, .6, .6, .6, .6, .8, .9, .9, .9, .9, 1, 1},
    {.9, .9, .9, .9, .9, .9, .9, .8, .7, .6, .6, .5, .5, .5, .5, .6, .7, .8, .7, .7, .8, .9, .9},
}};

// Fitted to H100 and H200; Volta and Ampere have no rows of one node and few, and take these.
constexpr double kHopperStartUp = 3.72 * kMicro;
constexpr Ramp kHopperRamp{1.28, 2.04e6};

// Limits per channel of tuning.cc over the channels' speeds of search.cc: 20 GB/s each up to Ampere;
// Hopper 30 on one node, 40 across; Blackwell 90 and 48. Beyond one node the limits of the
// low-latency protocol go by the CPU; these are Intel's.
// Channels: twice those that NCCL's search finds on V100 and A100 boards (connect.cc), and those of
// NVLS on Hopper and Blackwell (nvls.cc); each is a block that keeps one multiprocessor.
constexpr std::array<NcclGeneration, 4> kGenerations{{
    {.ring_ll128 = {1, 1, 1},
     .tree = {26.5 / 20, 18.5 / 20, 10.0 / 20},
     .tree_ll128 = {1, 1, 1},
     .ll_limit = {39e9, 39e9, 20.4e9},
     .ring_latency = 1.9,
     .nvls = 0,
     .start_up = kHopperStartUp,
     .ramp = kHopperRamp,
     .channels = 12},
    {.ring_ll128 = {1, 1, 1},
     .tree = {24.0 / 20, 23.6 / 20, 17.8 / 20},
     .tree_ll128 = {1, 1, 1},
     .ll_limit = {87.7e9, 39e9, 20.4e9},
     .ring_latency = 1.4,
     .nvls = 0,
     .start_up = kHopperStartUp,
     .ramp = kHopperRamp,
     .channels = 24},
    {.ring_ll128 = {36.7 / 30, 36.7 / 40, 36.7 / 40},
     .tree = {38.7 / 30, 41.4 / 40, 36.0 / 40},
     .tree_ll128 = {36.7 / 30, 36.7 / 40, 29.0 / 40},
     .ll_limit = {141e9, 39e9, 20.4e9},
     .ring_latency = 1.4,
     .nvls = 0.609,  // fitted
     .start_up = kHopperStartUp,
     .ramp = kHopperRamp,
     .channels = 16},
    {.ring_ll128 = {73.4 / 90, 34.6 / 48, 73.4 / 48},
     .tree = {70.0 / 90, 42.8 / 48, 24.0 / 48},
     .tree_ll128 = {55.6 / 90, 31.67 / 48, 20.0 / 48},
     .ll_limit = {282e9, 39e9, 20.4e9},
     .ring_latency = 1.4,
     .nvls = 0.487,              // fitted
     .start_up = 31.3 * kMicro,  // fitted
     .ramp = {1.5, 3.1e6},       // fitted
     .channels = 24},
}};

constexpr NcclNetwork kAsTheGpu;
// Fitted.
constexpr NcclNetwork kEfa{.own_ramp = true, .ramp = {2.65, 0.608e6}, .start_up = 98.9 * kMicro};

ByProtocol seconds(const ByProtocol& micro) {
    return {micro[0] * kMicro, micro[1] * kMicro, micro[2] * kMicro};
}

}  // namespace

const char* algorithm_name(Algorithm algorithm) {
    return kAlgorithmNames[static_cast<std::size_t>(algorithm)];
}
const char* protocol_name(Protocol protocol) {
    return kProtocolNames[static_cast<std::size_t>(protocol)];
}

ByProtocol base_latency(Algorithm algorithm) {
    return seconds(kBase[static_cast<std::size_t>(algorithm)]);
}

ByProtocol hop_latency(Hop hop, Algorithm algorithm) {
    return seconds(kHops[static_cast<std::size_t>(hop)][static_cast<std::size_t>(algorithm)]);
}

double tree_correction(Protocol protocol, double bytes) {
    const auto& factors = kTreeCorrection[static_cast<std::size_t>(protocol)];
    const double place = std::clamp(std::log2(std::max(bytes, 1.0) / 64), 0.0, kCorrections - 1.0);
    const auto low = std::min(static_cast<std::size_t>(place), kCorrections - 2);
    const double part = place - static_cast<double>(low);
    return factors[low] + part * (factors[low + 1] - factors[low]);
}

const NcclGeneration& nccl_generation(LinkType intra) {
    switch (intra) {
        case LinkType::nvlink2:
        case LinkType::pcie3:
            return kGenerations[0];
        case LinkType::nvlink4:
        case LinkType::pcie5:
        case LinkType::infinity_fabric:
            return kGenerations[2];
        case LinkType::nvlink5:
            return kGenerations[3];
        default:
            return kGenerations[1];
    }
}

const NcclNetwork& nccl_network(LinkType inter) {
    return inter == LinkType::efa ? kEfa : kAsTheGpu;
}

}  // namespace shardscope
