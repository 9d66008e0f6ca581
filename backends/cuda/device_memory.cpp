#include "backends/cuda/device_memory.h"

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include <cuda_runtime.h>
#include <dlfcn.h>
#include <unistd.h>

#include "backends/cuda/device/check.h"

namespace shardscope::cuda {
namespace {

// The few things of NVML that are used here, declared by ourselves: toolkits do not all bring nvml.h, and
// machines without a driver have no library to link with. As in NVML's API reference, version 12 and on.
using NvmlDevice = void*;
struct NvmlMemory {
    unsigned long long total = 0, free = 0, used = 0;
};
struct NvmlProcess {
    unsigned pid = 0;
    unsigned long long used = 0;
    unsigned gpu_instance = 0, compute_instance = 0;
};
constexpr int kNvmlSuccess = 0;

class Nvml {
public:
    Nvml() : library_(dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL)) {
        if (library_ == nullptr) return;
        const auto init = symbol<int()>("nvmlInit_v2");
        started_ = init != nullptr && init() == kNvmlSuccess;
    }
    ~Nvml() {
        if (started_)
            if (const auto shutdown = symbol<int()>("nvmlShutdown")) shutdown();
        if (library_ != nullptr) dlclose(library_);
    }
    Nvml(const Nvml&) = delete;
    Nvml& operator=(const Nvml&) = delete;

    std::optional<NvmlDevice> device(int number) const {
        std::array<char, 32> pci{};
        const auto find = symbol<int(const char*, NvmlDevice*)>("nvmlDeviceGetHandleByPciBusId_v2");
        NvmlDevice found = nullptr;
        if (!started_ || find == nullptr ||
            cudaDeviceGetPCIBusId(pci.data(), static_cast<int>(pci.size()), number) !=
                cudaSuccess ||
            find(pci.data(), &found) != kNvmlSuccess)
            return std::nullopt;
        return found;
    }

    std::optional<NvmlMemory> memory(NvmlDevice device) const {
        const auto ask = symbol<int(NvmlDevice, NvmlMemory*)>("nvmlDeviceGetMemoryInfo");
        NvmlMemory memory;
        if (ask == nullptr || ask(device, &memory) != kNvmlSuccess) return std::nullopt;
        return memory;
    }

    std::optional<Bytes> used_by(NvmlDevice device, unsigned pid) const {
        const auto ask = symbol<int(NvmlDevice, unsigned*, NvmlProcess*)>(
            "nvmlDeviceGetComputeRunningProcesses_v3");
        std::vector<NvmlProcess> processes(256);
        auto count = static_cast<unsigned>(processes.size());
        if (ask == nullptr || ask(device, &count, processes.data()) != kNvmlSuccess)
            return std::nullopt;
        for (unsigned i = 0; i < count; ++i)
            if (processes[i].pid == pid && processes[i].used != ~0ULL)
                return Bytes(static_cast<std::int64_t>(processes[i].used));
        return std::nullopt;
    }

private:
    template <class Signature>
    Signature* symbol(const char* name) const {
        return library_ == nullptr ? nullptr : reinterpret_cast<Signature*>(dlsym(library_, name));
    }

    void* library_;
    bool started_ = false;
};

}  // namespace

Bytes used_device_memory() {
    std::size_t unused = 0, total = 0;
    check(cudaMemGetInfo(&unused, &total), "cudaMemGetInfo");
    return Bytes(static_cast<std::int64_t>(total - unused));
}

std::optional<Bytes> free_device_memory(int device) {
    const Nvml nvml;
    const auto handle = nvml.device(device);
    const auto memory = handle ? nvml.memory(*handle) : std::nullopt;
    if (!memory) return std::nullopt;
    return Bytes(static_cast<std::int64_t>(memory->free));
}

std::optional<Bytes> memory_of_this_process() {
    int current = 0;
    check(cudaGetDevice(&current), "cudaGetDevice");
    const Nvml nvml;
    const auto device = nvml.device(current);
    return device ? nvml.used_by(*device, static_cast<unsigned>(getpid())) : std::nullopt;
}

DeviceMemoryStages::DeviceMemoryStages(int device) {
    const Nvml nvml;
    const auto handle = nvml.device(device);
    const auto used = [&] {
        const auto memory = handle ? nvml.memory(*handle) : std::nullopt;
        return memory ? static_cast<std::int64_t>(memory->used) : 0;
    };
    const std::int64_t before = used();
    check(cudaSetDevice(device), "cudaSetDevice");
    check(cudaFree(nullptr), "cudaFree");  // makes the context
    // What others take or give back meanwhile would count; what is known of this process does not.
    context_ = memory_of_this_process();
    if (!context_ && used() > before) context_ = Bytes(used() - before);
    used_ = used_device_memory();
}

Bytes DeviceMemoryStages::since() {
    const Bytes now = used_device_memory();
    const Bytes taken = now - used_;
    used_ = now;
    return taken;
}

}  // namespace shardscope::cuda
