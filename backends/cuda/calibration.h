// Times kernels on one GPU with CUDA's events.
#pragma once

#include <functional>
#include <memory>

#include "backends/cuda/attention/attention.h"
#include "backends/cuda/device/handles.h"
#include "backends/cuda/device_memory.h"
#include "backends/cuda/kernels/launch.h"
#include "backends/cuda/matmul/linear.h"
#include "backends/cuda/measurement.h"

namespace shardscope::cuda {

class Calibration final : public GpuMeasurement {
public:
    explicit Calibration(const GpuMeasurementOptions& options);

    Seconds time_kernel(const Compute& instruction, const GpuRepeats& repeats) override;
    BytesPerSecond copy_bandwidth(Bytes bytes, const GpuRepeats& repeats) override;
    Seconds host_cost() override;
    Seconds kernel_overhead() override;
    Seconds graph_host_cost() override;
    Seconds graph_kernel_overhead() override;
    GpuRuntimeMemory runtime_memory() override { return runtime_; }

private:
    void run(const Compute& instruction, const Addresses& operands);
    // The graph of what `queue` queues on the stream, which is not executed.
    GraphExecHandle capture(const std::function<void()>& queue);
    // Time on the device of what `queue` queues.
    Seconds elapsed(const std::function<void()>& queue);
    Seconds median(const std::function<void()>& queue, const GpuRepeats& repeats);
    // Before the first timing: clocks rise when there is work.
    void warm_up();
    void synchronize();

    DeviceMemoryStages stages_;  // first: it makes the device current
    Linears linears_;
    Attentions attentions_;
    StreamHandle stream_;
    EventHandle start_, end_;
    DeviceMemory scratch_, words_;
    LaunchContext context_;
    GpuRuntimeMemory runtime_;
    bool warm_ = false;
};

}  // namespace shardscope::cuda
