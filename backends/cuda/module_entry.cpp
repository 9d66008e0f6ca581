#include <array>
#include <cstdio>

#include <cublasLt.h>
#include <cuda_runtime.h>
#include <nccl.h>

#include "backends/cuda/calibration.h"
#include "backends/cuda/device/check.h"
#include "backends/cuda/device_memory.h"
#include "backends/cuda/module.h"
#include "backends/cuda/nccl/nccl_timing.h"
#include "backends/cuda/runner.h"
#include "core/error.h"

namespace shardscope::cuda {
namespace {

constexpr int kOldest = 80;  // compute capability that the kernels are written for

// 13000 → "13.0"
std::string cuda_version(int number) {
    return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10);
}

// 22809 → "2.28.9", 130100 → "13.1.0"
std::string library_version(int number) {
    return std::to_string(number / 10000) + "." + std::to_string(number % 10000 / 100) + "." +
           std::to_string(number % 100);
}

int runtime_version() {
    int version = 0;
    cudaRuntimeGetVersion(&version);
    return version;
}

// 0: there is none.
int driver_version() {
    int version = 0;
    if (cudaDriverGetVersion(&version) != cudaSuccess) return 0;
    return version;
}

int attribute_or_zero(cudaDeviceAttr name, int device) {
    int value = 0;
    if (cudaDeviceGetAttribute(&value, name, device) != cudaSuccess) {
        cudaGetLastError();  // an attribute that this driver does not know is not kept as a failure
        return 0;
    }
    return value;
}

std::string uuid_text(const cudaUUID_t& uuid) {
    std::string text = "GPU-";
    for (std::size_t i = 0; i < sizeof uuid.bytes; ++i) {
        std::array<char, 3> hex{};
        std::snprintf(hex.data(), hex.size(), "%02x", static_cast<unsigned char>(uuid.bytes[i]));
        text += hex.data();
        if (i == 3 || i == 5 || i == 7 || i == 9) text += '-';
    }
    return text;
}

std::vector<GpuLink> links_of(int device, int count) {
    std::vector<GpuLink> links;
    for (int other = 0; other < count; ++other) {
        if (other == device) continue;
        GpuLink link;
        link.device = other;
        int value = 0;
        check(cudaDeviceCanAccessPeer(&value, device, other), "cudaDeviceCanAccessPeer");
        link.peer_access = value != 0;
        if (link.peer_access) {
            check(cudaDeviceGetP2PAttribute(&value, cudaDevP2PAttrPerformanceRank, device, other),
                  "cudaDeviceGetP2PAttribute");
            link.performance_rank = value;
            // Only NVLink carries atomic operations between GPUs.
            check(cudaDeviceGetP2PAttribute(&value, cudaDevP2PAttrNativeAtomicSupported, device,
                                            other),
                  "cudaDeviceGetP2PAttribute");
            link.nvlink = value != 0;
        }
        links.push_back(link);
    }
    return links;
}

// Makes no context: runs measure what theirs takes.
GpuInfo describe_gpu(int device, int count) {
    cudaDeviceProp properties{};
    check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
    GpuInfo info;
    info.device = device;
    info.name = properties.name;
    info.memory = Bytes(static_cast<std::int64_t>(properties.totalGlobalMem));
    info.compute_capability = 10 * properties.major + properties.minor;
    info.multiprocessors = properties.multiProcessorCount;
    info.clock = 1e3 * attribute_or_zero(cudaDevAttrClockRate, device);
    info.memory_clock = 1e3 * attribute_or_zero(cudaDevAttrMemoryClockRate, device);
    info.memory_bus_bits = properties.memoryBusWidth;
    std::array<char, 32> pci{};
    check(cudaDeviceGetPCIBusId(pci.data(), static_cast<int>(pci.size()), device),
          "cudaDeviceGetPCIBusId");
    info.pci = pci.data();
    info.uuid = uuid_text(properties.uuid);
    info.links = links_of(device, count);
    info.free_memory = free_device_memory(device).value_or(Bytes(0));
    return info;
}

// Why no GPU can be used, and what would help; both empty: one can.
struct Obstacle {
    std::string what, remedy;
};

Obstacle obstacle_of(cudaError_t error) {
    const std::string needed = cuda_version(runtime_version());
    const int driver = driver_version();
    switch (error) {
        case cudaErrorInsufficientDriver:
            if (driver == 0)
                return {"this machine has no NVIDIA driver",
                        "install one that supports CUDA " + needed};
            return {"the NVIDIA driver supports CUDA " + cuda_version(driver) +
                        ", but this build needs " + needed,
                    "install a newer driver"};
        case cudaErrorNoDevice:
            return {"the NVIDIA driver sees no GPU",
                    "check CUDA_VISIBLE_DEVICES and what nvidia-smi lists"};
        default:
            return {std::string("the NVIDIA driver fails: ") + cudaGetErrorName(error) + ", " +
                        cudaGetErrorString(error),
                    "see what nvidia-smi and the kernel's log say of the GPU"};
    }
}

Obstacle obstacle() {
    int count = 0;  // stays as it is where the call fails
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess) {
        cudaGetLastError();
        return obstacle_of(error);
    }
    if (count < 1) return obstacle_of(cudaErrorNoDevice);
    for (int device = 0; device < count; ++device) {
        const int major = attribute_or_zero(cudaDevAttrComputeCapabilityMajor, device);
        const int minor = attribute_or_zero(cudaDevAttrComputeCapabilityMinor, device);
        if (10 * major + minor >= kOldest) continue;
        return {"GPU " + std::to_string(device) + " has compute capability " +
                    std::to_string(major) + "." + std::to_string(minor) +
                    ", but 8.0 or newer is needed",
                "hide it with CUDA_VISIBLE_DEVICES"};
    }
    return {};
}

class Module final : public CudaModule {
public:
    std::string why_not() const override { return obstacle().what; }
    std::string remedy() const override { return obstacle().remedy; }

    std::vector<GpuInfo> devices() const override {
        std::vector<GpuInfo> infos;
        if (!why_not().empty()) return infos;
        int count = 0;
        check(cudaGetDeviceCount(&count), "cudaGetDeviceCount");
        for (int device = 0; device < count; ++device) infos.push_back(describe_gpu(device, count));
        return infos;
    }

    std::string versions() const override {
        const int driver = driver_version();
        int nccl = 0;
        ncclGetVersion(&nccl);
        return "CUDA " + cuda_version(runtime_version()) + ", " +
               (driver == 0 ? "no driver" : "driver for CUDA " + cuda_version(driver)) + ", NCCL " +
               library_version(nccl) + ", cuBLASLt " +
               library_version(static_cast<int>(cublasLtGetVersion()));
    }

    std::unique_ptr<Runner> make_runner(const CudaOptions& options,
                                        MessageLink* link) const override {
        return std::make_unique<CudaRunner>(options, link);
    }

    std::string why_no_cudnn() const override { return cuda::why_no_cudnn(); }

    std::unique_ptr<GpuCollectives> collectives(const CudaOptions& options,
                                                Communicator& members) const override {
        return std::make_unique<NcclTiming>(options, members);
    }

    void check_kernels(const Reference& reference, const CheckOptions& options,
                       const std::function<void(const CheckResult&)>& tell) const override {
        cuda::check_kernels(reference, options, tell);
    }
    std::string describe(const CheckResult& result, std::uint64_t seed) const override {
        return cuda::describe(result, seed);
    }

    std::unique_ptr<GpuMeasurement> measure(const GpuMeasurementOptions& options) const override {
        return std::make_unique<Calibration>(options);
    }
};

}  // namespace
}  // namespace shardscope::cuda

__attribute__((visibility("default"))) const shardscope::CudaModule* shardscope_cuda_module() {
    static const shardscope::cuda::Module module;
    return &module;
}
