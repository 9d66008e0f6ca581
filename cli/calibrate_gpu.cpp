#include "cli/calibrate_gpu.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include <fmt/format.h>

#include "cli/calibrate_processes.h"
#include "cli/cuda_libraries.h"
#include "cli/kernel_cases.h"
#include "cli/output_file.h"
#include "cli/progress.h"
#include "cli/this_machine.h"
#include "core/error.h"
#include "core/machine.h"
#include "core/scenario_io.h"

namespace shardscope {
namespace {

class GpuMeasuring {
public:
    GpuMeasuring(const CudaModule& module, const GpuPlace& place, const CalibrateOptions& options,
                 const CalibrateProgress& progress)
        : gpu_(module.measure(measurement_options(module, place))),
          quick_(options.quick),
          progress_(progress) {}

    std::vector<MatmulSample> matmul();
    std::vector<KernelSample> kernels();
    void fill_figures(Device& device);

private:
    static GpuMeasurementOptions measurement_options(const CudaModule& module,
                                                     const GpuPlace& place) {
        GpuMeasurementOptions options;
        options.device = place.options.device;
        options.tf32 = place.options.tf32;
        options.cudnn = place.options.attention == CudaOptions::Attention::cudnn ||
                        (place.options.attention == CudaOptions::Attention::best &&
                         module.why_no_cudnn().empty());
        return options;
    }
    GpuRepeats repeats() const {
        return quick_ ? GpuRepeats{3, Seconds(0.005)} : GpuRepeats{7, Seconds(0.02)};
    }
    void add_sample(const Compute& compute, std::vector<KernelSample>& samples);
    void add_epilogue(const EpilogueCase& part, DType dtype, std::vector<KernelSample>& samples);

    std::unique_ptr<GpuMeasurement> gpu_;
    bool quick_;
    const CalibrateProgress& progress_;
};

std::vector<MatmulSample> GpuMeasuring::matmul() {
    std::vector<MatmulSample> samples;
    const auto shapes = gpu_matmul_shapes(quick_);
    for (std::size_t i = 0; i < shapes.size(); ++i) {
        const auto& [dtype, shape] = shapes[i];
        const auto [m, n, k] = shape;
        progress_(fmt::format("matrix multiply {} {} × {} × {}", name_of(dtype), m, n, k),
                  0.5 * static_cast<double>(i) / static_cast<double>(shapes.size()));
        double log_time = 0;
        for (const Kernel& kernel : multiplies_of(shape))
            log_time += std::log(gpu_->time_kernel(with_dtype(kernel, dtype), repeats()).value) / 3;
        const double flops =
            2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
        samples.push_back({dtype, m, n, k, FlopsPerSecond(rounded(flops / std::exp(log_time)))});
    }
    return samples;
}

void GpuMeasuring::add_sample(const Compute& compute, std::vector<KernelSample>& samples) {
    const CalibrationWork work = calibration_work(compute);
    const Seconds time = gpu_->time_kernel(compute, repeats());
    samples.push_back({std::string(calibration_name(compute.kernel)), compute.dtype, work.work,
                       rounded(work.work * work.parts / time.value)});
}

void GpuMeasuring::add_epilogue(const EpilogueCase& part, DType dtype,
                                std::vector<KernelSample>& samples) {
    const Compute with = with_dtype(part.with, dtype), without = with_dtype(part.without, dtype);
    const double base = gpu_->time_kernel(without, repeats()).value;
    // A fused epilogue may cost nothing that can be measured.
    const double more = std::max(gpu_->time_kernel(with, repeats()).value - base, 0.01 * base);
    const double work = epilogue_of(with).work;
    samples.push_back({std::string(part.name), dtype, work, rounded(work / more)});
}

std::vector<KernelSample> GpuMeasuring::kernels() {
    std::vector<KernelSample> samples;
    const auto cases = gpu_kernel_cases(quick_);
    for (std::size_t i = 0; i < cases.size(); ++i) {
        progress_(std::string(calibration_name(cases[i].kernel)),
                  0.5 + 0.4 * static_cast<double>(i) / static_cast<double>(cases.size()));
        add_sample(cases[i], samples);
    }
    for (const DType dtype : {DType::bf16, DType::fp32})
        for (const EpilogueCase& part : gpu_epilogue_cases(quick_)) {
            progress_(std::string(part.name), 0.9);
            add_epilogue(part, dtype, samples);
        }
    return samples;
}

void GpuMeasuring::fill_figures(Device& device) {
    progress_("memory and launches", 0.95);
    constexpr Bytes kCopied{std::int64_t{1} << 30};
    device.memory_bandwidth =
        BytesPerSecond(rounded(gpu_->copy_bandwidth(kCopied, repeats()).value));
    device.host_cost = Seconds(rounded(gpu_->host_cost().value));
    device.kernel_overhead = Seconds(rounded(gpu_->kernel_overhead().value));
    device.graph_host_cost = Seconds(rounded(gpu_->graph_host_cost().value));
    device.graph_kernel_overhead = Seconds(rounded(gpu_->graph_kernel_overhead().value));
    const GpuRuntimeMemory memory = gpu_->runtime_memory();
    device.runtime = memory.context;
    device.workspace = memory.workspace;
}

CollectiveGrid nccl_grid(bool quick) {
    CollectiveGrid grid;
    grid.largest = quick ? 16 << 20 : std::int64_t{1} << 30;
    grid.factor = quick ? 16 : 4;
    grid.budget = quick ? std::int64_t{1} << 30 : std::int64_t{16} << 30;
    grid.most = quick ? 20 : 100;
    return grid;
}

}  // namespace

Cluster calibrate_gpu(const CudaModule& module, const GpuPlace& place,
                      const CalibrateOptions& options, const CalibrateProgress& progress) {
    Cluster cluster;
    cluster.name = place.name;
    Device& device = cluster.device;
    device.name = place.name;
    device.kind = DeviceKind::gpu;
    device.memory = place.memory;
    device.source = fmt::format("measured by shardscope calibrate --backend cuda{}; {}",
                                place.options.tf32 ? " --tf32" : "", module.versions());
    device.calibration.date = today();
    device.calibration.host = describe_machine().host;
    device.calibration.compiler = module.versions();
    GpuMeasuring measuring(module, place, options, progress);
    device.calibration.matmul = measuring.matmul();
    device.calibration.kernels = measuring.kernels();
    measuring.fill_figures(device);
    set_peaks(device);
    return cluster;
}

TransportCalibration calibrate_nccl(const CudaModule& module, const GpuPlace& place,
                                    Processes& processes, const CalibrateOptions& options,
                                    const CalibrateProgress& progress) {
    const auto time = [&](const std::vector<CollectiveCase>& cases, Communicator& group) {
        std::vector<GpuCollective> calls;
        for (const CollectiveCase& c : cases) calls.push_back({c.kind, c.bytes(), c.repeats});
        std::vector<CollectiveTiming> timings;
        for (const GpuCollectiveTime& t : module.collectives(place.options, group)->time(calls)) {
            CollectiveTiming& timing = timings.emplace_back();
            timing.wall = timing.wall_low = t.median;
            timing.spread = t.spread;
        }
        return timings;
    };
    TransportCalibration nccl;
    nccl.date = today();
    nccl.hosts = processes.link().hosts();
    nccl.collectives = measure_groups(processes, "nccl", nccl_grid(options.quick), time, progress);
    return nccl;
}

Cluster calibrate_gpu_to(const std::string& file, const RunArguments& arguments, bool quick,
                         Processes* processes, const Environment& environment) {
    const GpuPlace place = place_on_gpus(arguments, environment, processes);
    const CudaModule& module = require_gpu(cuda_places(environment));
    Progress progress(environment);
    const CalibrateProgress told = shown_on(progress);
    CalibrateOptions options;
    options.quick = quick;
    Cluster cluster;
    // The others wait while rank 0 measures its GPU, so that they do not disturb it.
    agree(processes, [&] {
        if (!environment.is_root()) return;
        check_calibration_file(file, environment);
        std::error_code unreadable;
        if (processes != nullptr && std::filesystem::exists(file, unreadable))
            cluster = load_cluster(file);
        if (cluster.device.name != place.name)
            cluster = calibrate_gpu(module, place, options, told);
    });
    if (processes != nullptr && processes->link().size() > 1) {
        const TransportCalibration nccl = calibrate_nccl(module, place, *processes, options, told);
        set_links_from(nccl, cluster);
        cluster.device.calibration.transports["nccl"] = nccl;
        cluster.transport = "nccl";
        cluster.nodes = std::max(1, processes->hosts());
        cluster.gpus_per_node = processes->link().size() / cluster.nodes;
    }
    agree(processes, [&] {
        if (environment.is_root()) write_atomically(file, cluster_to_yaml(cluster));
    });
    progress.note(fmt::format("calibrated {}: {}", place.name, file));
    return cluster;
}

void set_links_from(const TransportCalibration& nccl, Cluster& cluster) {
    const auto link_of = [&](int hosts, Link& link) {
        for (const CollectiveSample& s : nccl.collectives) {
            if (s.kind != "transfer" || s.hosts != hosts || !(s.time.value > 0)) continue;
            const double rate = static_cast<double>(s.bytes.value) / s.time.value;
            link.bandwidth = std::max(link.bandwidth, BytesPerSecond(rounded(rate)));
            if (!(link.latency.value > 0)) link.latency = s.time;  // the smallest comes first
            link.source = "measured by shardscope calibrate --backend cuda";
        }
    };
    link_of(1, cluster.intra_node);
    link_of(2, cluster.inter_node);
}

}  // namespace shardscope
