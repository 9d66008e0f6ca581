// Owners of what CUDA hands out. All belong to the device that is current when they are made; destructors
// ignore errors, because a device that failed has already told so.
#pragma once

#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>

#include <cuda_runtime.h>

#include "core/units.h"

namespace shardscope::cuda {

struct DestroyStream {
    void operator()(cudaStream_t stream) const { cudaStreamDestroy(stream); }
};
struct DestroyEvent {
    void operator()(cudaEvent_t event) const { cudaEventDestroy(event); }
};
struct DestroyGraph {
    void operator()(cudaGraph_t graph) const { cudaGraphDestroy(graph); }
};
struct DestroyGraphExec {
    void operator()(cudaGraphExec_t graph) const { cudaGraphExecDestroy(graph); }
};
struct FreeDevice {
    void operator()(std::byte* memory) const { cudaFree(memory); }
};
struct FreePinned {
    void operator()(std::byte* memory) const { cudaFreeHost(memory); }
};

using StreamHandle = std::unique_ptr<std::remove_pointer_t<cudaStream_t>, DestroyStream>;
using EventHandle = std::unique_ptr<std::remove_pointer_t<cudaEvent_t>, DestroyEvent>;
using GraphHandle = std::unique_ptr<std::remove_pointer_t<cudaGraph_t>, DestroyGraph>;
using GraphExecHandle = std::unique_ptr<std::remove_pointer_t<cudaGraphExec_t>, DestroyGraphExec>;
using DeviceMemory = std::unique_ptr<std::byte, FreeDevice>;
using PinnedMemory = std::unique_ptr<std::byte, FreePinned>;

enum class StreamPriority { ordinary, high };

// Streams do not wait for the default stream. Events of the second kind can be timed with.
StreamHandle make_stream(StreamPriority priority);
EventHandle make_event();
EventHandle make_timing_event();

// One allocation, zero-filled; null for no bytes. Throws Error{run_failed, "out-of-memory"}.
DeviceMemory allocate_device(Bytes size);
// The same in the host's memory, where the device can reach it.
PinnedMemory allocate_pinned(Bytes size);

}  // namespace shardscope::cuda
