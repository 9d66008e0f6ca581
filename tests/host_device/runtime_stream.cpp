// Streams, events and graphs of cuda_runtime_api.h.
#include <algorithm>

#include "tests/host_device/machine.h"

using namespace host_device;

namespace {

// Handles are numbers; what they stand for is in the machine's maps.
template <class Handle>
Handle new_handle(Machine& machine) {
    return reinterpret_cast<Handle>(++machine.handles);
}

cudaError_t make_stream(const char* function, cudaStream_t* stream, unsigned flags) {
    return call(function, [&](Locked& locked) {
        if (flags > cudaStreamNonBlocking) return cudaErrorInvalidValue;
        Machine& machine = locked.machine;
        Device& device = machine.devices[static_cast<std::size_t>(current_device())];
        machine.touch(device);
        const auto queue = std::make_shared<Queue>();
        queue->device = current_device();
        queue->blocking = flags == cudaStreamDefault;
        device.queues.push_back(queue);
        *stream = new_handle<cudaStream_t>(machine);
        machine.streams[*stream] = queue;
        return cudaSuccess;
    });
}

EventPointer find(const Machine& machine, cudaEvent_t event) {
    const auto found = machine.events.find(event);
    return found == machine.events.end() ? nullptr : found->second;
}

cudaError_t invalidate(Capture& capture, cudaError_t error) {
    capture.invalidated = true;
    return error;
}

// A recording that a graph makes each time it is launched, for work outside of it.
TaskMaker external_record(const EventPointer& event) {
    return [event] {
        event->mark = std::make_shared<Mark>();
        event->capture = nullptr;
        return Task{{}, {}, event->mark, "an event's recording"};
    };
}

TaskMaker external_wait(const EventPointer& event) {
    return [event] {
        const MarkPointer mark = event->mark;
        return Task{{}, [mark] { return !mark || mark->reached; }, {}, "an event"};
    };
}

cudaError_t record(Locked& locked, cudaEvent_t handle, cudaStream_t stream, unsigned flags) {
    Machine& machine = locked.machine;
    const QueuePointer queue = machine.find(stream);
    const EventPointer event = find(machine, handle);
    if (!queue || !event) return cudaErrorInvalidResourceHandle;
    if (queue->capture && flags != cudaEventRecordExternal) {
        event->capture = queue->capture;
        event->tails = queue->tails;
        return cudaSuccess;
    }
    if (!queue->capture && flags == cudaEventRecordExternal) return cudaErrorInvalidValue;
    machine.issue(queue, external_record(event));
    return cudaSuccess;
}

// A stream that waits for an event of a capture becomes part of it.
cudaError_t wait_for_captured(Queue& queue, const Event& event) {
    if (queue.capture && queue.capture != event.capture) {
        return invalidate(*event.capture, cudaErrorStreamCaptureMerge);
    }
    queue.capture = event.capture;
    for (int tail : event.tails) {
        if (std::find(queue.tails.begin(), queue.tails.end(), tail) == queue.tails.end()) {
            queue.tails.push_back(tail);
        }
    }
    return cudaSuccess;
}

cudaError_t wait(Locked& locked, cudaStream_t stream, cudaEvent_t handle, unsigned flags) {
    Machine& machine = locked.machine;
    const QueuePointer queue = machine.find(stream);
    const EventPointer event = find(machine, handle);
    if (!queue || !event) return cudaErrorInvalidResourceHandle;
    if (queue->capture && flags == cudaEventWaitExternal) {
        machine.issue(queue, external_wait(event));
        return cudaSuccess;
    }
    if (event->capture && machine.captures.contains(event->capture)) {
        return wait_for_captured(*queue, *event);
    }
    if (!event->mark || machine.settings.ignores_waits) return cudaSuccess;  // never recorded
    if (queue->capture) return invalidate(*queue->capture, cudaErrorStreamCaptureIsolation);
    machine.issue(queue, [] { return Task{{}, {}, {}, "a wait"}; }, {event->mark});
    return cudaSuccess;
}

// Nodes that a capture's end does not come after.
bool has_unjoined(const Capture& capture, const std::vector<int>& ends) {
    std::vector<bool> before(capture.nodes.size());
    std::vector<int> open = ends;
    while (!open.empty()) {
        const auto i = static_cast<std::size_t>(open.back());
        open.pop_back();
        if (before[i]) continue;
        before[i] = true;
        open.insert(open.end(), capture.nodes[i].after.begin(), capture.nodes[i].after.end());
    }
    return std::find(before.begin(), before.end(), false) != before.end();
}

cudaError_t end_capture(Locked& locked, const QueuePointer& queue, cudaGraph_t* graph) {
    Machine& machine = locked.machine;
    const std::shared_ptr<Capture> capture = queue->capture;
    if (!capture) return cudaErrorInvalidValue;
    if (capture->origin != queue.get())
        return invalidate(*capture, cudaErrorStreamCaptureUnmatched);
    if (capture->mode != cudaStreamCaptureModeRelaxed &&
        capture->thread != std::this_thread::get_id()) {
        return cudaErrorStreamCaptureWrongThread;
    }
    const bool unjoined = has_unjoined(*capture, queue->tails);
    for (const Device& device : machine.devices) {
        for (const QueuePointer& other : device.queues) {
            if (other->capture != capture) continue;
            other->capture = nullptr;
            other->tails.clear();
        }
    }
    machine.captures.erase(capture);
    *graph = nullptr;
    if (capture->invalidated) return cudaErrorStreamCaptureInvalidated;
    if (unjoined) return cudaErrorStreamCaptureUnjoined;
    *graph = new_handle<cudaGraph_t>(machine);
    machine.graphs[*graph] = capture->nodes;
    return cudaSuccess;
}

cudaError_t synchronize(Locked& locked, const QueuePointer& queue) {
    if (!queue) return cudaErrorInvalidResourceHandle;
    if (queue->capture) return invalidate(*queue->capture, cudaErrorStreamCaptureUnsupported);
    const MarkPointer last = queue->last;
    return run_until(locked, queue->device, [&] { return !last || last->reached; });
}

template <class Handle>
cudaError_t destroy_graph(const char* function, Handle handle) {
    return call(function, [&](Locked& locked) {
        return locked.machine.graphs.erase(handle) == 0 ? cudaErrorInvalidValue : cudaSuccess;
    });
}

}  // namespace

cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
    return call("cudaDeviceGetStreamPriorityRange", [&](Locked&) {
        *least = 0;
        *greatest = -5;
        return cudaSuccess;
    });
}

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
    return make_stream("cudaStreamCreate", stream, cudaStreamDefault);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
    return make_stream("cudaStreamCreateWithFlags", stream, flags);
}

// Priorities promise nothing, so nothing is all they do.
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) {
    return make_stream("cudaStreamCreateWithPriority", stream, flags);
}

// Its work still runs.
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    return call("cudaStreamDestroy", [&](Locked& locked) {
        Machine& machine = locked.machine;
        const auto found = machine.streams.find(stream);
        if (found == machine.streams.end()) return cudaErrorInvalidResourceHandle;
        const QueuePointer queue = found->second;
        machine.streams.erase(found);
        if (queue->work.empty()) {
            std::erase(machine.devices[static_cast<std::size_t>(queue->device)].queues, queue);
        }
        return cudaSuccess;
    });
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    return call_outside_capture("cudaStreamSynchronize", [&](Locked& locked) {
        return synchronize(locked, locked.machine.find(stream));
    });
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
    return call_outside_capture("cudaStreamQuery", [&](Locked& locked) {
        const QueuePointer queue = locked.machine.find(stream);
        if (!queue) return cudaErrorInvalidResourceHandle;
        if (queue->work.empty()) return cudaSuccess;
        run_some(locked, queue->device);
        return queue->work.empty() ? cudaSuccess : cudaErrorNotReady;
    });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags) {
    return call("cudaStreamWaitEvent",
                [&](Locked& locked) { return wait(locked, stream, event, flags); });
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
    return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
    return call("cudaEventCreateWithFlags", [&](Locked& locked) {
        *event = new_handle<cudaEvent_t>(locked.machine);
        const auto made = std::make_shared<Event>();
        made->timing = (flags & cudaEventDisableTiming) == 0;
        locked.machine.events[*event] = made;
        return cudaSuccess;
    });
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
    return call("cudaEventDestroy", [&](Locked& locked) {
        return locked.machine.events.erase(event) == 0 ? cudaErrorInvalidResourceHandle
                                                       : cudaSuccess;
    });
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    return call("cudaEventRecord", [&](Locked& locked) {
        return record(locked, event, stream, cudaEventRecordDefault);
    });
}

cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned flags) {
    return call("cudaEventRecordWithFlags",
                [&](Locked& locked) { return record(locked, event, stream, flags); });
}

cudaError_t cudaEventQuery(cudaEvent_t handle) {
    return call_outside_capture("cudaEventQuery", [&](Locked& locked) {
        const EventPointer event = find(locked.machine, handle);
        if (!event) return cudaErrorInvalidResourceHandle;
        const MarkPointer mark = event->mark;
        if (!mark || mark->reached) return cudaSuccess;
        run_some(locked, current_device());
        return mark->reached ? cudaSuccess : cudaErrorNotReady;
    });
}

cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
    return call_outside_capture("cudaEventSynchronize", [&](Locked& locked) {
        const EventPointer event = find(locked.machine, handle);
        if (!event) return cudaErrorInvalidResourceHandle;
        const MarkPointer mark = event->mark;
        return run_until(locked, current_device(), [&] { return !mark || mark->reached; });
    });
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
    return call("cudaEventElapsedTime", [&](Locked& locked) {
        const EventPointer a = find(locked.machine, start), b = find(locked.machine, end);
        if (!a || !b || !a->mark || !b->mark || !a->timing || !b->timing) {
            return cudaErrorInvalidResourceHandle;
        }
        if (!a->mark->reached || !b->mark->reached) return cudaErrorNotReady;
        *milliseconds = static_cast<float>(b->mark->milliseconds - a->mark->milliseconds);
        return cudaSuccess;
    });
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
    return call("cudaStreamBeginCapture", [&](Locked& locked) {
        if (stream == nullptr) return cudaErrorStreamCaptureUnsupported;
        const QueuePointer queue = locked.machine.find(stream);
        if (!queue) return cudaErrorInvalidResourceHandle;
        if (queue->capture) return cudaErrorInvalidValue;
        queue->capture = std::make_shared<Capture>();
        queue->capture->mode = mode;
        queue->capture->thread = std::this_thread::get_id();
        queue->capture->origin = queue.get();
        locked.machine.captures.insert(queue->capture);
        return cudaSuccess;
    });
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
    return call("cudaStreamEndCapture", [&](Locked& locked) {
        const QueuePointer queue = locked.machine.find(stream);
        if (!queue) return cudaErrorInvalidResourceHandle;
        return end_capture(locked, queue, graph);
    });
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
    return call("cudaStreamIsCapturing", [&](Locked& locked) {
        const QueuePointer queue = locked.machine.find(stream);
        if (!queue) return cudaErrorInvalidResourceHandle;
        *status = !queue->capture               ? cudaStreamCaptureStatusNone
                  : queue->capture->invalidated ? cudaStreamCaptureStatusInvalidated
                                                : cudaStreamCaptureStatusActive;
        return cudaSuccess;
    });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph,
                                 unsigned long long) {
    return call("cudaGraphInstantiate", [&](Locked& locked) {
        auto& graphs = locked.machine.graphs;
        const auto found = graphs.find(graph);
        if (found == graphs.end()) return cudaErrorInvalidValue;
        *executable = new_handle<cudaGraphExec_t>(locked.machine);
        graphs[*executable] = std::vector<GraphNode>(found->second);
        return cudaSuccess;
    });
}

cudaError_t cudaGraphUpload(cudaGraphExec_t executable, cudaStream_t) {
    return call("cudaGraphUpload", [&](Locked& locked) {
        return locked.machine.graphs.contains(executable) ? cudaSuccess : cudaErrorInvalidValue;
    });
}

// Works on a copy: the graph may be destroyed before it has run.
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
    return call("cudaGraphLaunch", [&](Locked& locked) {
        Machine& machine = locked.machine;
        const QueuePointer queue = machine.find(stream);
        const auto found = machine.graphs.find(executable);
        if (!queue) return cudaErrorInvalidResourceHandle;
        if (found == machine.graphs.end()) return cudaErrorInvalidValue;
        if (queue->capture) return invalidate(*queue->capture, cudaErrorNotSupported);
        Work work;
        for (const GraphNode& node : found->second) {
            work.steps.push_back({node.make(), node.after});
        }
        if (work.steps.empty()) work.steps.push_back({Task{{}, {}, {}, "an empty graph"}, {}});
        machine.issue(queue, std::move(work));
        return cudaSuccess;
    });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) { return destroy_graph("cudaGraphDestroy", graph); }

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
    return destroy_graph("cudaGraphExecDestroy", executable);
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, CUgraphNode_st** nodes, std::size_t* count) {
    return call("cudaGraphGetNodes", [&](Locked& locked) {
        const auto found = locked.machine.graphs.find(graph);
        if (found == locked.machine.graphs.end()) return cudaErrorInvalidValue;
        if (nodes != nullptr) return cudaErrorNotSupported;
        *count = found->second.size();
        return cudaSuccess;
    });
}
