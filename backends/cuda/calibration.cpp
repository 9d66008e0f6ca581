#include "backends/cuda/calibration.h"

#include <algorithm>
#include <chrono>

#include "backends/cuda/calibration_operands.h"
#include "backends/cuda/device/check.h"
#include "backends/cuda/device/shape.h"
#include "backends/cuda/dispatch.h"

namespace shardscope::cuda {
namespace {

using Clock = std::chrono::steady_clock;

constexpr Seconds kGraphTime{0.002};  // a graph of a kernel takes about so long,
constexpr int kMostCalls = 200;       // but has no more calls
constexpr Seconds kWarmUp{0.3};
constexpr Bytes kWarmUpBytes{std::int64_t{256} << 20};
constexpr int kEmptyKernels = 300;  // fewer than a stream's queue holds

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

double median_of(std::vector<double> values) {
    const auto middle = values.begin() + std::ssize(values) / 2;
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

// As empty as a kernel of ours can be.
Compute empty_kernel() {
    Compute compute;
    compute.kernel = Zero{1};
    compute.dtype = compute.gradient = DType::fp32;
    return compute;
}

}  // namespace

Calibration::Calibration(const GpuMeasurementOptions& options)
    : stages_(options.device),
      linears_({.tf32 = options.tf32, .timed_candidates = kTimedCandidates}),
      // As runs choose them (rank.cpp).
      attentions_(options.cudnn ? AttentionLibrary::best : AttentionLibrary::own, false),
      stream_(make_stream(StreamPriority::ordinary)),
      start_(make_timing_event()),
      end_(make_timing_event()),
      scratch_(allocate_device(Bytes(kScratchBytes))),
      words_(allocate_device(Bytes(sizeof(StepWords)))) {
    context_.stream = stream_.get();
    context_.device = shape_of(options.device);
    context_.scratch = scratch_.get();
    context_.scratch_bytes = kScratchBytes;
    context_.words = reinterpret_cast<const StepWords*>(words_.get());
    runtime_.workspace = Bytes(kScratchBytes);
    runtime_.context = stages_.context().value_or(Bytes(0)) + stages_.since() - runtime_.workspace;
    runtime_.context = std::max(runtime_.context, Bytes(0));
}

void Calibration::run(const Compute& instruction, const Addresses& operands) {
    execute(instruction, operands, context_, linears_, attentions_);
}

void Calibration::synchronize() {
    check(cudaStreamSynchronize(stream_.get()), "cudaStreamSynchronize");
}

GraphExecHandle Calibration::capture(const std::function<void()>& queue) {
    check(cudaStreamBeginCapture(stream_.get(), cudaStreamCaptureModeRelaxed),
          "cudaStreamBeginCapture");
    queue();
    cudaGraph_t captured = nullptr;
    check(cudaStreamEndCapture(stream_.get(), &captured), "cudaStreamEndCapture");
    const GraphHandle graph(captured);
    cudaGraphExec_t executable = nullptr;
    check(cudaGraphInstantiate(&executable, graph.get(), 0), "cudaGraphInstantiate");
    GraphExecHandle handle(executable);
    check(cudaGraphUpload(handle.get(), stream_.get()), "cudaGraphUpload");
    return handle;
}

Seconds Calibration::elapsed(const std::function<void()>& queue) {
    check(cudaEventRecord(start_.get(), stream_.get()), "cudaEventRecord");
    queue();
    check(cudaEventRecord(end_.get(), stream_.get()), "cudaEventRecord");
    check(cudaEventSynchronize(end_.get()), "cudaEventSynchronize");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, start_.get(), end_.get()), "cudaEventElapsedTime");
    return Seconds(1e-3 * static_cast<double>(milliseconds));
}

Seconds Calibration::median(const std::function<void()>& queue, const GpuRepeats& repeats) {
    std::vector<double> times;
    const auto start = Clock::now();
    while (static_cast<int>(times.size()) < repeats.times ||
           seconds_since(start) < repeats.budget.value)
        times.push_back(elapsed(queue).value);
    return Seconds(median_of(std::move(times)));
}

void Calibration::warm_up() {
    if (warm_) return;
    warm_ = true;
    copy_bandwidth(kWarmUpBytes, {5, kWarmUp});
}

Seconds Calibration::time_kernel(const Compute& instruction, const GpuRepeats& repeats) {
    warm_up();
    DeviceMemory workspace;
    const auto prepare = [&](const auto& kernel) {
        workspace = allocate_device(Bytes(attentions_.prepare(kernel, instruction.dtype)));
        attentions_.set_workspace(workspace.get());
    };
    if (const auto* forward = std::get_if<Attention>(&instruction.kernel)) prepare(*forward);
    if (const auto* backward = std::get_if<AttentionGrad>(&instruction.kernel)) prepare(*backward);
    const CalibrationOperands operands(instruction, stream_.get());
    std::size_t next = 0;
    const auto call = [&] {
        run(instruction, operands.sets()[next]);
        next = (next + 1) % operands.sets().size();
    };
    cuda::prepare(instruction, operands.sets().front(), context_, linears_);
    call();  // loads code
    const Seconds once = elapsed(call);
    const int calls =
        std::clamp(static_cast<int>(kGraphTime.value / std::max(once.value, 1e-7)), 1, kMostCalls);
    const GraphExecHandle graph = capture([&] {
        for (int i = 0; i < calls; ++i) call();
    });
    const auto launch_graph = [&] {
        check(cudaGraphLaunch(graph.get(), stream_.get()), "cudaGraphLaunch");
    };
    launch_graph();
    const Seconds time = median(launch_graph, repeats) / calls;
    synchronize();
    return time;
}

BytesPerSecond Calibration::copy_bandwidth(Bytes bytes, const GpuRepeats& repeats) {
    const DeviceMemory from = allocate_device(bytes), to = allocate_device(bytes);
    const Seconds time = median(
        [&] {
            check(cudaMemcpyAsync(to.get(), from.get(), static_cast<std::size_t>(bytes.value),
                                  cudaMemcpyDeviceToDevice, stream_.get()),
                  "cudaMemcpyAsync");
        },
        repeats);
    synchronize();
    return BytesPerSecond(2 * static_cast<double>(bytes.value) / time.value);
}

// The device is behind all the time: the host never waits for it, nor it for the host.
Seconds Calibration::host_cost() {
    warm_up();
    const Compute empty = empty_kernel();
    const CalibrationOperands operands(empty, stream_.get());
    std::vector<double> costs;
    for (int round = 0; round < 20; ++round) {
        synchronize();
        const auto start = Clock::now();
        for (int i = 0; i < kEmptyKernels; ++i) run(empty, operands.sets().front());
        costs.push_back(seconds_since(start) / kEmptyKernels);
    }
    synchronize();
    return Seconds(median_of(std::move(costs)));
}

// The kernels are queued while the device still copies, so that none waits for the host.
Seconds Calibration::kernel_overhead() {
    warm_up();
    const Compute empty = empty_kernel();
    const CalibrationOperands operands(empty, stream_.get());
    const Bytes ahead{std::int64_t{1} << 30};
    const DeviceMemory from = allocate_device(ahead), to = allocate_device(ahead);
    std::vector<double> times;
    for (int round = 0; round < 20; ++round) {
        for (int i = 0; i < 8; ++i)
            check(cudaMemcpyAsync(to.get(), from.get(), static_cast<std::size_t>(ahead.value),
                                  cudaMemcpyDeviceToDevice, stream_.get()),
                  "cudaMemcpyAsync");
        const Seconds all = elapsed([&] {
            for (int i = 0; i < kEmptyKernels; ++i) run(empty, operands.sets().front());
        });
        times.push_back(all.value / kEmptyKernels);
    }
    return Seconds(median_of(std::move(times)));
}

Seconds Calibration::graph_host_cost() {
    warm_up();
    const Compute empty = empty_kernel();
    const CalibrationOperands operands(empty, stream_.get());
    const GraphExecHandle graph = capture([&] { run(empty, operands.sets().front()); });
    std::vector<double> costs;
    for (int round = 0; round < 20; ++round) {
        synchronize();
        const auto start = Clock::now();
        for (int i = 0; i < kEmptyKernels; ++i)
            check(cudaGraphLaunch(graph.get(), stream_.get()), "cudaGraphLaunch");
        costs.push_back(seconds_since(start) / kEmptyKernels);
    }
    synchronize();
    return Seconds(median_of(std::move(costs)));
}

Seconds Calibration::graph_kernel_overhead() {
    return time_kernel(empty_kernel(), {20, Seconds(0.05)});
}

}  // namespace shardscope::cuda
