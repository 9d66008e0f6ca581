// The numbers of NCCL's performance model, and what measurements add to them.
//
// Those of NCCL are facts of its tuner, src/graph/tuning.cc of v2.28.9. Those marked fitted come from
// bench/collectives_fit.cpp and published nccl-tests runs; docs/cost-model.md says how well they do.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "core/cluster/cluster.h"

namespace shardscope {

enum class Algorithm : std::uint8_t {
    ring,
    tree,
    nvls,
    nvls_tree,
    collnet_direct,
    collnet_chain,
    pat,
};
enum class Protocol : std::uint8_t { ll, ll128, simple };
constexpr std::size_t kAlgorithms = 7, kProtocols = 3;
const char* algorithm_name(Algorithm algorithm);  // "ring"
const char* protocol_name(Protocol protocol);     // "ll128"

// Seconds by protocol.
using ByProtocol = std::array<double, kProtocols>;
// A limit for groups on 1, 2, and more nodes.
using ByNodes = std::array<double, 3>;

// What does not depend on the machine.
ByProtocol base_latency(Algorithm algorithm);
enum class Hop : std::uint8_t { nvlink, pcie, network };
ByProtocol hop_latency(Hop hop, Algorithm algorithm);
// Factor on a tree's bandwidth in an all-reduce of `bytes`, between NCCL's sizes (powers of two)
// interpolated, so that more bytes never take less time.
double tree_correction(Protocol protocol, double bytes);

// How the bandwidth of large messages builds up: a message of S bytes on n ranks takes as long as
// S + excess·R·S/(S + R) bytes at full rate, R = bytes_per_rank·n. Small ones thus get
// 1/(1 + excess) of the rate: NCCL's chunks are small then, and its pipeline of chunks is never full.
struct Ramp {
    double excess = 0;
    double bytes_per_rank = 0;
};

// Per GPU generation, which is how NCCL indexes its tables.
struct NcclGeneration {
    // Limits of one channel over the speed that a channel is given: shares of the bus bandwidth.
    ByNodes ring_ll128, tree, tree_ll128;
    ByNodes ll_limit;     // bytes/s of all channels of the low-latency protocol
    double ring_latency;  // factor on Simple's latency in an all-reduce across nodes
    double nvls;      // buffer per second over the NVLink's data sheet by multicast; 0: has none
    double start_up;  // seconds that a collective takes besides NCCL's estimate
    Ramp ramp;
    int channels;  // multiprocessors that a collective occupies inside a node, at most
};
const NcclGeneration& nccl_generation(LinkType intra);

// What a network adds where it has measurements of its own.
struct NcclNetwork {
    bool own_ramp = false;  // otherwise the generation's
    Ramp ramp;
    double start_up = 0;  // seconds
};
const NcclNetwork& nccl_network(LinkType inter);

}  // namespace shardscope
