// Devices, kernels and error texts of cuda_runtime_api.h.
#include <cstdio>
#include <cstring>

#include <fmt/core.h>

#include "tests/host_device/block.h"
#include "tests/host_device/launch.h"
#include "tests/host_device/machine.h"

using namespace host_device;

namespace {

constexpr std::size_t kSharedWithoutAsking = 48 << 10;

bool known(const Locked& locked, int device) {
    return device >= 0 && device < locked.machine.settings.devices;
}

Device& current(Locked& locked) {
    return locked.machine.devices[static_cast<std::size_t>(current_device())];
}

struct ErrorText {
    cudaError_t error;
    const char *name, *text;
};
constexpr ErrorText kErrorTexts[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInitializationError, "cudaErrorInitializationError", "initialization error"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration",
     "invalid configuration argument"},
    {cudaErrorInvalidMemcpyDirection, "cudaErrorInvalidMemcpyDirection",
     "invalid copy direction for memcpy"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
     "CUDA driver version is insufficient for CUDA runtime version"},
    {cudaErrorInvalidDeviceFunction, "cudaErrorInvalidDeviceFunction", "invalid device function"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress",
     "an illegal memory access was encountered"},
    {cudaErrorLaunchTimeout, "cudaErrorLaunchTimeout", "the launch timed out and was terminated"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorNotPermitted, "cudaErrorNotPermitted", "operation not permitted"},
    {cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported"},
    {cudaErrorSystemNotReady, "cudaErrorSystemNotReady", "system not yet initialized"},
    {cudaErrorSystemDriverMismatch, "cudaErrorSystemDriverMismatch",
     "system has unsupported display driver / cuda driver combination"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
    {cudaErrorStreamCaptureMerge, "cudaErrorStreamCaptureMerge",
     "operation would result in a merge of separate capture sequences"},
    {cudaErrorStreamCaptureUnmatched, "cudaErrorStreamCaptureUnmatched",
     "capture was not ended in the same stream as it began"},
    {cudaErrorStreamCaptureUnjoined, "cudaErrorStreamCaptureUnjoined",
     "capturing stream has unjoined work"},
    {cudaErrorStreamCaptureIsolation, "cudaErrorStreamCaptureIsolation",
     "dependency created on uncaptured work in another stream"},
    {cudaErrorStreamCaptureImplicit, "cudaErrorStreamCaptureImplicit",
     "operation would make the legacy stream depend on a capturing blocking stream"},
    {cudaErrorStreamCaptureWrongThread, "cudaErrorStreamCaptureWrongThread",
     "attempt to terminate a thread-local capture sequence from another thread"},
};

const ErrorText& text_of(cudaError_t error) {
    static constexpr ErrorText unknown{cudaErrorUnknown, "cudaErrorUnknown", "unknown error"};
    for (const ErrorText& text : kErrorTexts) {
        if (text.error == error) return text;
    }
    return unknown;
}

cudaError_t check_launch(Machine& machine, const KernelCall& call, const void* function) {
    const dim3 &g = call.grid, &b = call.block;
    const bool grid_fits =
        g.x > 0 && g.x <= 0x7FFFFFFFu && g.y > 0 && g.y <= 65535 && g.z > 0 && g.z <= 65535;
    const bool block_fits = b.x > 0 && b.x <= 1024 && b.y > 0 && b.y <= 1024 && b.z > 0 &&
                            b.z <= 64 && b.x * b.y * b.z <= 1024;
    if (!grid_fits || !block_fits) return cudaErrorInvalidConfiguration;
    const auto allowed = machine.shared_limits.find(function);
    const std::size_t limit = allowed == machine.shared_limits.end()
                                  ? kSharedWithoutAsking
                                  : static_cast<std::size_t>(allowed->second);
    return call.shared_bytes <= std::max(limit, kSharedWithoutAsking) ? cudaSuccess
                                                                      : cudaErrorInvalidValue;
}

}  // namespace

namespace host_device {

void submit_kernel(KernelCall kernel, const void* function, cudaStream_t stream) {
    call("cudaLaunchKernel", [&](Locked& locked) {
        Machine& machine = locked.machine;
        const QueuePointer queue = machine.find(stream);
        if (!queue) return cudaErrorInvalidResourceHandle;
        // As with CUDA, a stream takes kernels only while its device is the current one.
        if (queue->device != current_device()) return cudaErrorInvalidResourceHandle;
        const cudaError_t error = check_launch(machine, kernel, function);
        if (error != cudaSuccess) return error;
        Device& device = current(locked);
        if (!device.has_modules) {
            device.has_modules = true;
            device.used += machine.settings.module_bytes;
        }
        const auto shared = std::make_shared<KernelCall>(std::move(kernel));
        machine.issue(queue, [shared, &machine] {
            const std::uint64_t seed = machine.random();
            return Task{[shared, seed] { run_kernel(*shared, seed); }, {}, {}, shared->name};
        });
        return cudaSuccess;
    });
}

}  // namespace host_device

const char* cudaGetErrorName(cudaError_t error) { return text_of(error).name; }
const char* cudaGetErrorString(cudaError_t error) { return text_of(error).text; }

cudaError_t cudaDriverGetVersion(int* version) {
    const Locked locked;
    *version = locked.machine.settings.driver ? locked.machine.settings.driver_version : 0;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
    *version = CUDART_VERSION;
    return cudaSuccess;
}

// The count is left as it was where there is an error, as the real one does.
cudaError_t cudaGetDeviceCount(int* count) {
    return call("cudaGetDeviceCount", [&](Locked& locked) {
        *count = locked.machine.settings.devices;
        return cudaSuccess;
    });
}

cudaError_t cudaSetDevice(int device) {
    if (device < 0) device = -1;
    const int before = current_device();
    set_current_device(0);  // an unknown or failed current device must not keep one from leaving it
    const cudaError_t error = call("cudaSetDevice", [&](Locked& locked) {
        if (!known(locked, device)) return cudaErrorInvalidDevice;
        locked.machine.touch(locked.machine.devices[static_cast<std::size_t>(device)]);
        return cudaSuccess;
    });
    set_current_device(error == cudaSuccess ? device : before);
    return error;
}

cudaError_t cudaGetDevice(int* device) {
    return call("cudaGetDevice", [&](Locked&) {
        *device = current_device();
        return cudaSuccess;
    });
}

cudaError_t cudaSetDeviceFlags(unsigned) {
    return call("cudaSetDeviceFlags", [](Locked&) { return cudaSuccess; });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
    return call("cudaGetDeviceProperties", [&](Locked& locked) {
        if (!known(locked, device)) return cudaErrorInvalidDevice;
        const Settings& settings = locked.machine.settings;
        cudaDeviceProp p{};
        std::snprintf(p.name, sizeof p.name, "host device");
        p.uuid.bytes[15] = static_cast<char>(device);
        p.totalGlobalMem = settings.memory_bytes;
        p.sharedMemPerBlock = kSharedWithoutAsking;
        p.sharedMemPerBlockOptin = settings.shared_per_block;
        p.sharedMemPerMultiprocessor = settings.shared_per_block + 1024;
        p.regsPerBlock = 65536;
        p.warpSize = 32;
        p.maxThreadsPerBlock = 1024;
        p.maxThreadsPerMultiProcessor = 2048;
        p.major = settings.compute_capability / 10;
        p.minor = settings.compute_capability % 10;
        p.multiProcessorCount = settings.multiprocessors;
        p.l2CacheSize = 50 << 20;
        p.memoryBusWidth = 5120;
        p.ECCEnabled = 1;
        p.pciBusID = 16 + device;
        p.asyncEngineCount = 3;
        *properties = p;
        return cudaSuccess;
    });
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
    cudaDeviceProp p{};
    const cudaError_t error = cudaGetDeviceProperties(&p, device);
    if (error != cudaSuccess) return error;
    switch (attribute) {
        case cudaDevAttrMaxSharedMemoryPerBlock:
            *value = static_cast<int>(p.sharedMemPerBlock);
            break;
        case cudaDevAttrWarpSize:
            *value = p.warpSize;
            break;
        case cudaDevAttrClockRate:
            *value = 1980000;
            break;  // kHz
        case cudaDevAttrMultiProcessorCount:
            *value = p.multiProcessorCount;
            break;
        case cudaDevAttrMemoryClockRate:
            *value = 2619000;
            break;  // kHz
        case cudaDevAttrGlobalMemoryBusWidth:
            *value = p.memoryBusWidth;
            break;
        case cudaDevAttrL2CacheSize:
            *value = p.l2CacheSize;
            break;
        case cudaDevAttrComputeCapabilityMajor:
            *value = p.major;
            break;
        case cudaDevAttrComputeCapabilityMinor:
            *value = p.minor;
            break;
        case cudaDevAttrMaxSharedMemoryPerBlockOptin:
            *value = static_cast<int>(p.sharedMemPerBlockOptin);
            break;
        default:
            return cudaErrorInvalidValue;
    }
    return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char* text, int length, int device) {
    return call("cudaDeviceGetPCIBusId", [&](Locked& locked) {
        if (!known(locked, device)) return cudaErrorInvalidDevice;
        const std::string id = fmt::format("0000:{:02x}:00.0", 16 + device);
        if (static_cast<std::size_t>(length) <= id.size()) return cudaErrorInvalidValue;
        std::memcpy(text, id.c_str(), id.size() + 1);
        return cudaSuccess;
    });
}

cudaError_t cudaDeviceCanAccessPeer(int* can, int device, int peer) {
    return call("cudaDeviceCanAccessPeer", [&](Locked& locked) {
        if (!known(locked, device) || !known(locked, peer)) return cudaErrorInvalidDevice;
        *can = device == peer ? 0 : 1;
        return cudaSuccess;
    });
}

cudaError_t cudaDeviceGetP2PAttribute(int* value, cudaDeviceP2PAttr attribute, int device,
                                      int peer) {
    if (device == peer) return cudaErrorInvalidDevice;
    if (attribute == cudaDevP2PAttrPerformanceRank) {
        *value = 0;
        return cudaSuccess;
    }
    return cudaDeviceCanAccessPeer(value, device, peer);
}

cudaError_t cudaDeviceSynchronize() {
    return call_outside_capture("cudaDeviceSynchronize", [](Locked& locked) {
        const int index = current_device();
        Device& device = current(locked);
        return run_until(locked, index, [&] {
            for (const QueuePointer& queue : device.queues) {
                if (!queue->work.empty()) return false;
            }
            return true;
        });
    });
}

// What the device holds is released; the caller's handles are not valid afterwards.
cudaError_t cudaDeviceReset() {
    return call("cudaDeviceReset", [](Locked& locked) {
        Machine& machine = locked.machine;
        const int index = current_device();
        machine.fail(index, cudaSuccess, "cudaDeviceReset");
        machine.problems.pop_back();
        std::erase_if(machine.streams, [&](const auto& s) { return s.second->device == index; });
        return cudaSuccess;
    });
}

cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
    return call("cudaFuncSetAttribute", [&](Locked& locked) {
        if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
        if (value < 0 ||
            static_cast<std::size_t>(value) > locked.machine.settings.shared_per_block) {
            return cudaErrorInvalidValue;
        }
        locked.machine.shared_limits[function] = value;
        return cudaSuccess;
    });
}
