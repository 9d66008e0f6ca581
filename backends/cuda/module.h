// What the loadable module shardscope_cuda.so offers. Without any vendor's header: the program that loads it
// (backends/cuda_module.h) knows it by this alone.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backends/communicator.h"
#include "backends/cuda/check/kernel_check.h"
#include "backends/cuda/cuda_options.h"
#include "backends/cuda/measurement.h"
#include "backends/process/message_link.h"
#include "core/runner.h"
#include "core/units.h"

namespace shardscope {

// How one GPU reaches another.
struct GpuLink {
    int device = 0;            // the other one
    bool peer_access = false;  // reads and writes its memory directly
    bool nvlink = false;       // as fast as inside the best-connected pair; else over PCIe
    int performance_rank = 0;  // the driver's order of links, 0 is best
};

struct GpuInfo {
    int device = 0;  // as CUDA counts those that are visible
    std::string name;
    Bytes memory;                // all of it
    Bytes free_memory;           // that nobody has taken now; 0: NVML does not say
    int compute_capability = 0;  // 10 · major + minor
    int multiprocessors = 0;
    double clock = 0;         // of the multiprocessors, Hz, the highest
    double memory_clock = 0;  // Hz; 0: the driver does not say
    int memory_bus_bits = 0;
    std::string pci;   // "0000:17:00.0"
    std::string uuid;  // "GPU-…"
    std::vector<GpuLink> links;

    // Double data rate: two bits per pin and cycle.
    BytesPerSecond memory_bandwidth() const {
        return BytesPerSecond(2 * memory_clock * memory_bus_bits / 8);
    }
};

// Thread-safe. The module has one, which lives as long as it is loaded.
class CudaModule {
public:
    virtual ~CudaModule() = default;

    // Empty, or in one sentence why no GPU can be used; `remedy` is then what would help.
    virtual std::string why_not() const = 0;
    virtual std::string remedy() const = 0;

    // All that are visible; none where why_not() says so. Throws Error{run_failed, "cuda"}.
    virtual std::vector<GpuInfo> devices() const = 0;

    // "CUDA 13.0, driver 13.0, NCCL 2.28.9, cuBLASLt 13.1.0, cuDNN 9.19.0"; needs no GPU.
    virtual std::string versions() const = 0;

    // Why cuDNN's attention cannot be used; empty: it can. Needs no GPU.
    virtual std::string why_no_cudnn() const = 0;

    // A rank of a run: of the link's processes, or, where it is null, of this one alone. The link must
    // outlive it.
    virtual std::unique_ptr<Runner> make_runner(const CudaOptions& options,
                                                MessageLink* link) const = 0;

    // All processes that `members` connects call it at the same time. Throws Error{run_failed, "nccl"}.
    virtual std::unique_ptr<GpuCollectives> collectives(const CudaOptions& options,
                                                        Communicator& members) const = 0;

    // Every kernel beside `reference`, on options.device; see kernel_check.h.
    virtual void check_kernels(const cuda::Reference& reference, const cuda::CheckOptions& options,
                               const std::function<void(const cuda::CheckResult&)>& tell) const = 0;
    virtual std::string describe(const cuda::CheckResult& result, std::uint64_t seed) const = 0;

    // Measures one GPU. Throws Error{run_failed, "cuda"}.
    virtual std::unique_ptr<GpuMeasurement> measure(const GpuMeasurementOptions& options) const = 0;
};

}  // namespace shardscope

// The module's entry.
extern "C" const shardscope::CudaModule* shardscope_cuda_module();
