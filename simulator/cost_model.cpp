#include "simulator/cost_model.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "core/error.h"

namespace shardscope {
namespace {

// A GPU computes C in tiles of at most kTile × kTile, one per multiprocessor: rows and columns count
// in whole tiles, of which there are smaller ones for thin matrices. And it needs many tiles to be
// busy: with kHalfFullTiles it reaches half its rate. Round figures for a chip with about a hundred
// multiprocessors; NVIDIA's "Matrix Multiplication Background User's Guide" explains the effect
// (tile and wave quantisation).
constexpr double kTile = 128, kSmallestTile = 16;
constexpr double kHalfFullTiles = 32;

double tile_for(double length) {
    double tile = kSmallestTile;
    while (tile < length && tile < kTile) tile *= 2;
    return tile;
}

double gpu_shape_efficiency(double m, double n) {
    const double tile_m = tile_for(m), tile_n = tile_for(n);
    const double count = std::ceil(m / tile_m) * std::ceil(n / tile_n);
    const double used = m * n / (count * tile_m * tile_n);
    return used * count / (count + kHalfFullTiles);
}

}  // namespace

CostModel::CostModel(const Device& device)
    : kind_(device.kind),
      name_(device.name),
      peak_(device.peak),
      matmul_efficiency_(device.matmul_efficiency),
      bandwidth_(device.memory_bandwidth.value * device.memory_efficiency),
      overhead_(
          (device.graph_host_cost.value > 0 ? device.graph_kernel_overhead : device.kernel_overhead)
              .value),
      fork_join_(device.calibration.fork_join.value) {
    for (const MatmulSample& s : device.calibration.matmul)
        matmul_[s.dtype].add(static_cast<double>(s.m), static_cast<double>(s.n),
                             static_cast<double>(s.k), s.rate.value);
    std::map<std::pair<std::string, DType>, std::vector<TimeCurve::Point>> points;
    for (const KernelSample& s : device.calibration.kernels)
        if (s.rate > 0) points[{s.kernel, s.dtype}].push_back({s.work, s.work / s.rate});
    for (auto& [key, list] : points) kernels_.emplace(key, TimeCurve(std::move(list)));
}

Seconds CostModel::kernel(const Compute& compute) const {
    // The multiply behind a linear kernel, as C[m,n] = A[m,k]·B[k,n].
    std::optional<Shape> shape;
    const auto set = [&shape](std::int64_t m, std::int64_t n, std::int64_t k) {
        shape = {static_cast<double>(m), static_cast<double>(n), static_cast<double>(k)};
    };
    if (const auto* f = std::get_if<Linear>(&compute.kernel)) set(f->rows, f->out, f->in);
    if (const auto* g = std::get_if<LinearInputGrad>(&compute.kernel)) set(g->rows, g->in, g->out);
    if (const auto* w = std::get_if<LinearWeightGrad>(&compute.kernel)) set(w->out, w->in, w->rows);
    if (shape) return Seconds(matmul(compute, *shape));
    const double otherwise = roofline(compute, 1.0);
    return Seconds(measured(calibration_name(compute.kernel), compute.dtype,
                            calibration_work(compute), otherwise));
}

Seconds CostModel::kernel(const Compute& compute, int threads) const {
    const Seconds alone = kernel(compute);
    if (threads <= 1) return alone;
    return std::min(alone, alone / threads + Seconds(fork_join_));
}

double CostModel::matmul(const Compute& compute, const Shape& shape) const {
    if (shape.m <= 0 || shape.n <= 0 || shape.k <= 0) return overhead_;
    const auto rates = matmul_.find(compute.dtype);
    if (rates == matmul_.end()) {
        const double efficiency =
            kind_ == DeviceKind::gpu ? gpu_shape_efficiency(shape.m, shape.n) : 1.0;
        return roofline(compute, efficiency);
    }
    const double flops = 2 * shape.m * shape.n * shape.k;
    const double multiply = flops / rates->second.rate(shape.m, shape.n, shape.k);
    return std::max(multiply, overhead_) + epilogue(compute);
}

// Passes over the result that the measured multiply does not contain.
double CostModel::epilogue(const Compute& compute) const {
    const Epilogue parts = epilogue_of(compute);
    double seconds = 0;
    for (const std::string_view name : {parts.bias, parts.activation, parts.residual})
        if (!name.empty())
            seconds += measured(name, compute.dtype, {parts.work, 1}, memory_bound(parts.work));
    return seconds;
}

double CostModel::memory_bound(double bytes) const {
    return bandwidth_ > 0 ? bytes / bandwidth_ : 0;
}

double CostModel::measured(std::string_view name, DType dtype, const CalibrationWork& work,
                           double otherwise) const {
    const auto curve = kernels_.find(std::pair(std::string(name), dtype));
    if (curve == kernels_.end() || curve->second.empty()) return otherwise;
    return std::max(work.parts * curve->second.seconds(work.work), overhead_);
}

double CostModel::roofline(const Compute& compute, double efficiency) const {
    const KernelCost cost = cost_of(compute.kernel, compute.dtype, compute.gradient);
    const double move = memory_bound(static_cast<double>(cost.moved().value));
    double multiply = 0;
    if (cost.matmul.value > 0)
        multiply = cost.matmul.value / (attainable_flops(compute.multiplies_in()) * efficiency);
    return std::max(multiply, move) + overhead_;
}

double CostModel::attainable_flops(MathType math) const {
    const auto peak = peak_.find(math == MathType::fp8_rowwise ? MathType::fp8 : math);
    if (peak == peak_.end() || !(peak->second.value > 0)) {
        const std::string type(name_of(math));
        throw Error("device-peak", "the device " + name_ + " states no peak rate for " + type,
                    "add peak." + type + " to its cluster file, or choose another precision");
    }
    return peak->second.value * matmul_efficiency_;
}

}  // namespace shardscope
