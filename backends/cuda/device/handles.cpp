#include "backends/cuda/device/handles.h"

#include <cstring>

#include "backends/cuda/device/check.h"

namespace shardscope::cuda {
namespace {

EventHandle make_event_with(unsigned flags) {
    cudaEvent_t event = nullptr;
    check(cudaEventCreateWithFlags(&event, flags), "cudaEventCreateWithFlags");
    return EventHandle(event);
}

}  // namespace

StreamHandle make_stream(StreamPriority priority) {
    int least = 0, greatest = 0;
    check(cudaDeviceGetStreamPriorityRange(&least, &greatest), "cudaDeviceGetStreamPriorityRange");
    cudaStream_t stream = nullptr;
    check(cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking,
                                       priority == StreamPriority::high ? greatest : least),
          "cudaStreamCreateWithPriority");
    return StreamHandle(stream);
}

EventHandle make_event() { return make_event_with(cudaEventDisableTiming); }
EventHandle make_timing_event() { return make_event_with(cudaEventDefault); }

DeviceMemory allocate_device(Bytes size) {
    if (size.value == 0) return nullptr;
    void* memory = nullptr;
    const auto bytes = static_cast<std::size_t>(size.value);
    check_allocation(cudaMalloc(&memory, bytes), "cudaMalloc", size);
    DeviceMemory owner(static_cast<std::byte*>(memory));
    check(cudaMemset(memory, 0, bytes), "cudaMemset");
    // Our streams do not wait for the default stream, which clears it.
    check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    return owner;
}

PinnedMemory allocate_pinned(Bytes size) {
    if (size.value == 0) return nullptr;
    void* memory = nullptr;
    const auto bytes = static_cast<std::size_t>(size.value);
    check_allocation(cudaHostAlloc(&memory, bytes, cudaHostAllocDefault), "cudaHostAlloc", size);
    std::memset(memory, 0, bytes);
    return PinnedMemory(static_cast<std::byte*>(memory));
}

}  // namespace shardscope::cuda
