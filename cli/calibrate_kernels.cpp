#include "cli/calibrate_kernels.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <thread>

#include <fmt/format.h>

#include "backends/cpu/kernels/gemm.h"
#include "backends/cpu/kernels/team.h"
#include "cli/kernel_cases.h"
#include "cli/kernel_timing.h"

namespace shardscope {
namespace {

Repeats repeats(const CalibrateOptions& options) {
    return options.quick ? Repeats{Seconds(0.002), 3} : Repeats{Seconds(0.02), 5};
}

Seconds time_of(const Compute& compute, const Repeats& repeats) {
    return KernelTiming(compute).median(repeats);
}

MatmulSample measure_shape(const MatmulShape& shape, DType dtype, const Repeats& repeats) {
    double log_time = 0;
    for (const Kernel& kernel : multiplies_of(shape))
        log_time += std::log(time_of(with_dtype(kernel, dtype), repeats).value) / 3;
    const double flops = 2.0 * static_cast<double>(shape.m) * static_cast<double>(shape.n) *
                         static_cast<double>(shape.k);
    return {dtype, shape.m, shape.n, shape.k, FlopsPerSecond(flops / std::exp(log_time))};
}

// The difference of two kernels is small beside them, so both are timed in turn, several times.
KernelSample measure_epilogue(const EpilogueCase& part, DType dtype, const Repeats& repeats) {
    KernelTiming with(with_dtype(part.with, dtype)), without(with_dtype(part.without, dtype));
    constexpr int kRounds = 3;
    std::vector<double> differences;
    double least = 0;
    for (int round = 0; round < kRounds; ++round) {
        const double base = without.median(repeats).value;
        differences.push_back(with.median(repeats).value - base);
        least = 0.01 * base;
    }
    const double work = epilogue_of(with_dtype(part.with, dtype)).work;
    const double seconds = std::max(quantile(differences, 0.5), least);
    return {std::string(part.name), dtype, work, work / seconds};
}

}  // namespace

std::vector<MatmulSample> measure_matmul(const CalibrateOptions& options,
                                         const CalibrateProgress& progress) {
    std::vector<MatmulSample> samples;
    const auto shapes = matmul_shapes(options.quick);
    for (std::size_t i = 0; i < shapes.size(); ++i) {
        const auto& [dtype, shape] = shapes[i];
        progress(fmt::format("matrix multiply {} {} × {} × {}", name_of(dtype), shape.m, shape.n,
                             shape.k),
                 static_cast<double>(i) / static_cast<double>(shapes.size()));
        samples.push_back(measure_shape(shape, dtype, repeats(options)));
    }
    return samples;
}

MatmulSample measure_again(const MatmulSample& sample) {
    return measure_shape({sample.m, sample.n, sample.k}, sample.dtype, {Seconds(0.02), 5});
}

std::vector<KernelSample> measure_kernels(const CalibrateOptions& options,
                                          const CalibrateProgress& progress) {
    std::vector<KernelSample> samples;
    const auto cases = kernel_cases(options.quick);
    for (std::size_t i = 0; i < cases.size(); ++i) {
        const std::string name(calibration_name(cases[i].kernel));
        progress(name, 0.8 * static_cast<double>(i) / static_cast<double>(cases.size()));
        const CalibrationWork work = calibration_work(cases[i]);
        const Seconds time = time_of(cases[i], repeats(options));
        samples.push_back({name, cases[i].dtype, work.work, work.work * work.parts / time.value});
    }
    for (const DType dtype : {DType::fp32, DType::fp64, DType::bf16})
        for (const EpilogueCase& part : epilogue_cases(dtype, options.quick)) {
            progress(std::string(part.name), 0.9);
            samples.push_back(measure_epilogue(part, dtype, repeats(options)));
        }
    return samples;
}

double measure_busy_slowdown(int cores, const CalibrateOptions& options) {
    const Repeats each = options.quick ? Repeats{Seconds(0.05), 5} : Repeats{Seconds(0.4), 9};
    const auto mixture_time = [&each](Seconds* time) {
        cpu::use_one_thread();
        std::vector<KernelTiming> kernels;
        for (const Compute& compute : typical_mixture()) kernels.emplace_back(compute);
        *time = median_time(
            [&kernels] {
                for (KernelTiming& k : kernels) k.call();
            },
            each);
    };
    if (cores <= 1) return 1;
    Seconds before, after;
    mixture_time(&before);
    std::vector<Seconds> together(static_cast<std::size_t>(cores));
    {
        std::vector<std::jthread> threads;
        for (Seconds& time : together) threads.emplace_back(mixture_time, &time);
    }
    mixture_time(&after);
    const Seconds alone = (before + after) / 2;
    return std::max(1.0, *std::max_element(together.begin(), together.end()) / alone);
}

Seconds measure_fork_join(int cores, const CalibrateOptions& options) {
    using Clock = std::chrono::steady_clock;
    using Nanoseconds = std::chrono::nanoseconds;
    if (cores <= 1) return Seconds(0);
    // Long enough that every helper has woken before the others are done, as in a kernel that is worth
    // dividing; some time passes between two kernels as well.
    constexpr Nanoseconds kWork{100'000}, kBetween{5'000};
    const auto spend = [](Nanoseconds time) {
        for (const auto end = Clock::now() + time; Clock::now() < end;) continue;
    };
    cpu::Team team(cores);
    // Bursts with pauses, of which the best counts: other programs only ever add to it, and where they
    // take a core they do so for milliseconds.
    double least = std::numeric_limits<double>::infinity();
    for (int burst = 0; burst < (options.quick ? 10 : 30); ++burst) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
        std::vector<double> costs;
        for (int i = 0; i < 50; ++i) {
            spend(kBetween);
            const auto start = Clock::now();
            team.divide(cores, 1, [&](const cpu::Share&) { spend(kWork); });
            costs.push_back(std::chrono::duration<double>(Clock::now() - start - kWork).count());
        }
        least = std::min(least, quantile(std::move(costs), 0.5));
    }
    return Seconds(std::max(0.0, least));
}

BytesPerSecond measure_memory_bandwidth(const CalibrateOptions& options) {
    const std::size_t bytes = (options.quick ? 64u : 256u) << 20;
    const std::vector<std::byte> from(bytes, std::byte{1});
    std::vector<std::byte> to(bytes);
    const Seconds time = median_time([&] { std::memcpy(to.data(), from.data(), bytes); },
                                     {Seconds(options.quick ? 0.1 : 0.5), 5});
    return BytesPerSecond(2 * static_cast<double>(bytes) / time.value);
}

Seconds measure_host_cost() {
    return time_of(with_dtype(Zero{1}, DType::fp32), {Seconds(0.02), 5});
}

}  // namespace shardscope
