// Memory of cuda_runtime_api.h.
//
// New memory holds the byte 0xFF everywhere, which is NaN in every type of floating-point number.
#include <cstdlib>
#include <cstring>
#include <vector>

#include "tests/host_device/machine.h"

using namespace host_device;

namespace {

constexpr std::size_t kAlignment = 256;  // cudaMalloc's promise

std::byte* allocate(std::size_t size) {
    // Exactly this size, so that AddressSanitizer sees the end.
    void* memory = nullptr;
    if (posix_memalign(&memory, kAlignment, size) != 0) return nullptr;
    std::memset(memory, 0xFF, size);
    return static_cast<std::byte*>(memory);
}

cudaError_t release(Locked& locked, void* address, bool of_device) {
    if (address == nullptr) return cudaSuccess;
    Machine& machine = locked.machine;
    const auto found = machine.allocations.find(static_cast<std::byte*>(address));
    if (found == machine.allocations.end() || (found->second.device >= 0) != of_device) {
        return cudaErrorInvalidValue;
    }
    // Both functions wait for the device's work first.
    const int index = of_device ? found->second.device : current_device();
    Device& device = machine.devices[static_cast<std::size_t>(index)];
    const cudaError_t error = run_until(locked, index, [&] {
        for (const QueuePointer& queue : device.queues) {
            if (!queue->work.empty()) return false;
        }
        return true;
    });
    if (of_device) device.used -= found->second.counted;
    std::free(address);
    machine.allocations.erase(found);
    return error;
}

enum class Place { device, pinned, pageable, outside };

// `outside`: begins in an allocation and does not end in it.
Place place_of(const Machine& machine, const void* address, std::size_t size) {
    if (const Allocation* whole = machine.allocation_of(address, size)) {
        return whole->device >= 0 ? Place::device : Place::pinned;
    }
    return machine.allocation_of(address, 1) != nullptr ? Place::outside : Place::pageable;
}

cudaError_t check_direction(Place to, Place from, cudaMemcpyKind kind) {
    if (to == Place::outside || from == Place::outside) return cudaErrorInvalidValue;
    if (kind == cudaMemcpyDefault) return cudaSuccess;
    if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault) {
        return cudaErrorInvalidMemcpyDirection;
    }
    const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    return to_device == (to == Place::device) && from_device == (from == Place::device)
               ? cudaSuccess
               : cudaErrorInvalidValue;
}

struct Rows {
    std::byte* to;
    const std::byte* from;
    std::size_t to_pitch, from_pitch, width, height;

    void copy() const {
        if (width == 0) return;
        for (std::size_t i = 0; i < height; ++i) {
            std::memmove(to + i * to_pitch, from + i * from_pitch, width);
        }
    }
    static std::size_t span(std::size_t pitch, std::size_t width, std::size_t height) {
        return height == 0 ? 0 : (height - 1) * pitch + width;
    }
};

// A copy from pageable memory takes its bytes at once; one to pageable memory is waited for.
cudaError_t copy(Locked& locked, const Rows& rows, cudaMemcpyKind kind, cudaStream_t stream,
                 bool wait) {
    Machine& machine = locked.machine;
    const QueuePointer queue = machine.find(stream);
    if (!queue) return cudaErrorInvalidResourceHandle;
    const std::size_t from_span = Rows::span(rows.from_pitch, rows.width, rows.height);
    const Place to = place_of(machine, rows.to, Rows::span(rows.to_pitch, rows.width, rows.height));
    const Place from = place_of(machine, rows.from, from_span);
    const cudaError_t error = check_direction(to, from, kind);
    if (error != cudaSuccess) return error;
    const bool pageable = to == Place::pageable || from == Place::pageable;
    if (queue->capture && pageable) {
        queue->capture->invalidated = true;
        return cudaErrorStreamCaptureUnsupported;
    }
    if (from == Place::pageable) {
        const auto staged =
            std::make_shared<std::vector<std::byte>>(rows.from, rows.from + from_span);
        machine.issue(queue, [rows, staged] {
            Rows of_staged = rows;
            of_staged.from = staged->data();
            return Task{[of_staged, staged] { of_staged.copy(); }, {}, {}, "a copy"};
        });
    } else {
        machine.issue(queue, [rows] { return Task{[rows] { rows.copy(); }, {}, {}, "a copy"}; });
    }
    if (!wait && to != Place::pageable) return cudaSuccess;
    const MarkPointer mark = queue->last;
    return run_until(locked, queue->device, [&] { return mark->reached; });
}

cudaError_t fill(Locked& locked, void* address, int value, std::size_t size, cudaStream_t stream) {
    const QueuePointer queue = locked.machine.find(stream);
    if (!queue) return cudaErrorInvalidResourceHandle;
    const Place place = place_of(locked.machine, address, size);
    if (place != Place::device && place != Place::pinned) return cudaErrorInvalidValue;
    locked.machine.issue(queue, [=] {
        return Task{[=] { std::memset(address, value, size); }, {}, {}, "a fill"};
    });
    return cudaSuccess;
}

Rows one_row(void* to, const void* from, std::size_t size) {
    return {static_cast<std::byte*>(to), static_cast<const std::byte*>(from), size, size, size, 1};
}

}  // namespace

cudaError_t cudaMalloc(void** address, std::size_t size) {
    return call_outside_capture("cudaMalloc", [&](Locked& locked) {
        Machine& machine = locked.machine;
        const int index = current_device();
        Device& device = machine.devices[static_cast<std::size_t>(index)];
        machine.touch(device);
        *address = nullptr;
        if (size == 0) return cudaSuccess;
        const std::size_t unit = machine.settings.granularity;
        const std::size_t counted = (size + unit - 1) / unit * unit;
        if (device.used + counted > machine.settings.memory_bytes) return cudaErrorMemoryAllocation;
        std::byte* memory = allocate(size);
        if (memory == nullptr) return cudaErrorMemoryAllocation;
        device.used += counted;
        machine.allocations[memory] = {size, counted, index};
        *address = memory;
        return cudaSuccess;
    });
}

cudaError_t cudaFree(void* address) {
    return call_outside_capture("cudaFree", [&](Locked& locked) {
        locked.machine.touch(locked.machine.devices[static_cast<std::size_t>(current_device())]);
        return release(locked, address, true);
    });
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
    return call("cudaMemGetInfo", [&](Locked& locked) {
        Device& device = locked.machine.devices[static_cast<std::size_t>(current_device())];
        locked.machine.touch(device);
        *total = locked.machine.settings.memory_bytes;
        *free = *total - device.used;
        return cudaSuccess;
    });
}

cudaError_t cudaHostAlloc(void** address, std::size_t size, unsigned) {
    return call_outside_capture("cudaHostAlloc", [&](Locked& locked) {
        std::byte* memory = allocate(size);
        if (memory == nullptr) return cudaErrorMemoryAllocation;
        locked.machine.allocations[memory] = {size, 0, -1};
        *address = memory;
        return cudaSuccess;
    });
}

cudaError_t cudaMallocHost(void** address, std::size_t size) {
    return cudaHostAlloc(address, size, cudaHostAllocDefault);
}

// One address space, as on every supported system.
cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned) {
    return call("cudaHostGetDevicePointer", [&](Locked& locked) {
        const Allocation* allocation = locked.machine.allocation_of(host, 1);
        if (allocation == nullptr || allocation->device >= 0) return cudaErrorInvalidValue;
        *device = host;
        return cudaSuccess;
    });
}

cudaError_t cudaFreeHost(void* address) {
    return call_outside_capture("cudaFreeHost",
                                [&](Locked& locked) { return release(locked, address, false); });
}

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t size, cudaMemcpyKind kind) {
    return call_outside_capture("cudaMemcpy", [&](Locked& locked) {
        return copy(locked, one_row(to, from, size), kind, nullptr, true);
    });
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t size, cudaMemcpyKind kind,
                            cudaStream_t stream) {
    return call("cudaMemcpyAsync", [&](Locked& locked) {
        return copy(locked, one_row(to, from, size), kind, stream, false);
    });
}

cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from,
                              std::size_t from_pitch, std::size_t width, std::size_t height,
                              cudaMemcpyKind kind, cudaStream_t stream) {
    return call("cudaMemcpy2DAsync", [&](Locked& locked) {
        if (width > to_pitch || width > from_pitch) return cudaErrorInvalidValue;
        return copy(locked,
                    {static_cast<std::byte*>(to), static_cast<const std::byte*>(from), to_pitch,
                     from_pitch, width, height},
                    kind, stream, false);
    });
}

cudaError_t cudaMemset(void* address, int value, std::size_t size) {
    return call_outside_capture(
        "cudaMemset", [&](Locked& locked) { return fill(locked, address, value, size, nullptr); });
}

cudaError_t cudaMemsetAsync(void* address, int value, std::size_t size, cudaStream_t stream) {
    return call("cudaMemsetAsync",
                [&](Locked& locked) { return fill(locked, address, value, size, stream); });
}
