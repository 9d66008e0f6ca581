// The machine a plan runs on: devices, links, and what was measured of them.
//
// Two kinds of source feed it: catalogue files with data-sheet values (scenarios/clusters/), and
// files that `shardscope calibrate` wrote, which add measured samples. Plain values, no behaviour;
// the simulator's cost model reads them.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/cluster/link_type.h"
#include "core/cluster/profile_constants.h"
#include "core/dtype.h"
#include "core/units.h"

namespace shardscope {

enum class DeviceKind { gpu, cpu };

// A GPU's generation: how its tensor cores are fed, and which tiles its libraries multiply with
// (simulator/gpu_generation.h).
enum class Architecture : std::uint8_t {
    volta,
    turing,
    ampere,
    ada,
    hopper,
    blackwell,
    cdna2,
    cdna3,
    cdna4
};
inline constexpr std::array<std::string_view, 9> kArchitectures = {
    "volta", "turing", "ampere", "ada", "hopper", "blackwell", "cdna2", "cdna3", "cdna4"};

// One measured matrix multiply C[m,n] = A[m,k]·B[k,n] (row-major; the linear layer's m is its rows).
struct MatmulSample {
    DType dtype = DType::fp32;
    std::int64_t m = 0, n = 0, k = 0;
    FlopsPerSecond rate;
    bool operator==(const MatmulSample&) const = default;
};

// One measured kernel other than a matrix multiply: `work` is what KernelCost counts for it, flops
// for attention, bytes moved for the rest; `rate` is work per second.
struct KernelSample {
    std::string kernel;  // kernel_name() of core/program/kernel.h
    DType dtype = DType::fp32;
    double work = 0;
    double rate = 0;
    bool operator==(const KernelSample&) const = default;
};

// One measured collective over `ranks` ranks; `bytes` as in Collective::bytes (the whole buffer).
struct CollectiveSample {
    std::string
        kind;  // "all_reduce", "reduce_scatter", "all_gather", or "transfer" to one other rank
    int ranks = 0;
    int hosts = 1;  // that the ranks were on, as many on each
    Bytes bytes;
    Seconds time;       // median
    double spread = 0;  // quartiles' distance over the median
    bool operator==(const CollectiveSample&) const = default;
};

// What was measured of ranks that are processes, over one transport.
struct TransportCalibration {
    std::string date;
    std::vector<std::string> hosts;  // of every rank
    std::vector<CollectiveSample> collectives;
    bool operator==(const TransportCalibration&) const = default;
};

// What `calibrate` measured; empty vectors where nothing was.
struct Calibration {
    std::string date, host, compiler;  // provenance, printed with results
    std::vector<MatmulSample> matmul;
    std::vector<KernelSample> kernels;
    std::vector<CollectiveSample> collectives;               // of ranks that are threads
    std::map<std::string, TransportCalibration> transports;  // "tcp", "mpi"
    // Factor by which compute slows when all cores compute at once (shared caches and memory), ≥ 1.
    double busy_slowdown = 1.0;
    // What dividing one kernel over a rank's threads adds: telling them and waiting for the last.
    Seconds fork_join;
    bool empty() const { return matmul.empty(); }
    bool operator==(const Calibration&) const = default;
};

// Device memory that NCCL takes of a rank, where it is known: the same for every communicator.
struct NcclMemory {
    Bytes base;           // per communicator
    int channels = 0;     // of one
    Bytes send, receive;  // per channel, for the neighbour that is sent to, and received from
    bool operator==(const NcclMemory&) const = default;
};

struct Device {
    std::string name;  // "NVIDIA H100 SXM"
    DeviceKind kind = DeviceKind::gpu;
    Bytes memory;  // usable capacity of one device (for CPUs: RAM / ranks)
    std::map<MathType, FlopsPerSecond>
        peak;                        // dense peak per precision, data sheet (CPUs: measured best)
    double matmul_efficiency = 1.0;  // best achievable fraction of peak for large multiplies
    std::map<MathType, double> matmul_efficiencies;  // the same of precisions that differ
    // Part of those that is left in steps of training, which go on for hours beside other kernels.
    double training_efficiency = 1.0;
    BytesPerSecond memory_bandwidth;  // data sheet (CPUs: measured copy, read + written bytes)
    double memory_efficiency = 1.0;   // achievable fraction of it
    // GPUs. What is not said is as in an A100: multiplies are timed by it.
    Architecture architecture = Architecture::ampere;
    int multiprocessors = 108;  // streaming multiprocessors, or compute units
    Hertz clock{1.41e9};        // at which the peaks hold: the data sheet's boost clock
    Bytes l2;                   // last-level cache; 0: none is counted on
    Seconds memory_latency;     // until the memory's rate is reached; a kernel waits for it once
    Watts power;                // of one device, data sheet (TDP); 0: not known
    Watts power_limit;          // where it is set below `power`; 0: it is not
    Watts idle_power;           // of one device that waits; 0: not known
    Seconds host_cost;          // host time to issue one instruction
    // GPUs: every launch waits until what it launched is done (CUDA_LAUNCH_BLOCKING=1).
    bool blocking_launches = false;
    Seconds kernel_overhead;  // device time of an empty kernel
    int threads = 1;          // CPUs: that a rank divides its kernels over
    Bytes runtime;            // context, libraries: memory outside the plan that every process has
    // GPUs, beside `runtime`: what a stream with kernels has as scratch; 0: is part of `runtime`.
    Bytes workspace;
    // GPUs, beside `runtime`; otherwise as NCCL allots it on the links (core/program/nccl_memory.h).
    std::optional<NcclMemory> nccl;
    // GPUs whose runs of kernels are replayed as graphs: host time to launch one, and device time of an
    // empty kernel in it; 0: every instruction is issued by itself.
    Seconds graph_host_cost, graph_kernel_overhead;
    // Where they differ from fitted_constants().
    std::map<RuntimeProfile, ProfileConstants> profiles;
    std::string source;  // where the figures come from
    Calibration calibration;

    // Dense peak of multiplies in `math`; 0: not stated. fp8_rowwise has that of fp8.
    FlopsPerSecond peak_of(MathType math) const;
    double matmul_efficiency_of(MathType math) const;
    const ProfileConstants& constants_of(RuntimeProfile profile) const;

    bool operator==(const Device&) const = default;
};

// A link class; bandwidth per device and direction, of a network per port.
struct Link {
    BytesPerSecond bandwidth;
    Seconds latency;          // per message and hop; with a type: besides NCCL's own
    double efficiency = 1.0;  // achievable fraction
    std::string source;
    LinkType type = LinkType::generic;
    // Inside nodes: a device reaches every other with all of its bandwidth. Otherwise its bandwidth
    // is divided over the others, as on V100 boards without NVSwitch.
    bool switched = true;
    // Between nodes:
    int ports = 0;                      // of one node; 0: one per device
    bool in_network_reduction = false;  // switches add (SHARP)
    // A fat tree: nodes of one leaf switch (0: all of them), and bandwidth of a leaf's nodes over that
    // of its links to the other leaves.
    int leaf_nodes = 0;
    double oversubscription = 1;
    bool operator==(const Link&) const = default;
};

// What running the cluster costs, and how often it fails. Zero: not known, and nothing is said of it.
struct ClusterOperation {
    double price_per_gpu_hour = 0;     // in whatever currency
    Watts node_power;                  // of a node beside its GPUs, on average
    double pue = 1;                    // power usage effectiveness: what the site draws over that
    Seconds node_mtbf;                 // mean time between failures of one node
    BytesPerSecond storage_bandwidth;  // of all ranks together, writing checkpoints
    Seconds restart_time;              // from a failure until training goes on from a checkpoint
    bool operator==(const ClusterOperation&) const = default;
};

// What a node has beside its devices, where what is offloaded goes (Strategy::offload). 0: not stated.
struct NodeHost {
    Bytes memory;
    BytesPerSecond memory_bandwidth;  // data sheet, read + written
    double memory_efficiency = 1.0;   // achievable fraction of it, by an optimizer step
    Link link;                        // between one device and the host
    Bytes nvme;                       // capacity
    BytesPerSecond nvme_read, nvme_write;
    std::string source;
    bool operator==(const NodeHost&) const = default;
};

struct Cluster {
    std::string name;
    Device device;
    int nodes = 1;
    int gpus_per_node = 1;  // ranks per node, for CPUs too
    int cores = 0;  // CPUs: cores that all ranks of a node share; 0: every rank has its own device
    Link intra_node;
    Link inter_node;
    NodeHost host;
    ClusterOperation operation;
    bool this_machine = false;  // ranks are threads or processes of it; see `calibrate`
    std::string transport =
        "threads";  // this machine: "threads", "tcp", "mpi"; "nccl": GPUs that were measured

    int world_size() const { return nodes * gpus_per_node; }
    bool operator==(const Cluster&) const = default;
};

}  // namespace shardscope
