#include "simulator/cost_model.h"

#include <algorithm>
#include <optional>

#include "core/error.h"
#include "simulator/product_kernels.h"

namespace shardscope {
namespace {

// Bytes of an operand as the multiply reads it; formats of 8 and 4 bits bring their scales along.
double operand_bytes(MathType math) {
    switch (math) {
        case MathType::fp8:
        case MathType::fp8_rowwise:
            return 1;
        case MathType::mxfp8:
            return 1 + 1.0 / 32;
        case MathType::nvfp4:
            return 0.5 + 1.0 / 16;
        default:
            return static_cast<double>(size_of(storage_of(math)));
    }
}

// Scales per row are applied outside the tensor cores, by kernels that reach this part of the rate with
// one scale. From torchtitan's published runs, where training with them is about
// as fast as in bf16.
constexpr double kRowScales = 0.6;

std::map<MathType, MatmulPrecision> precisions_of(const Device& device) {
    std::map<MathType, MatmulPrecision> precisions;
    for (std::size_t i = 0; i < kMathTypes; ++i) {
        const auto math = static_cast<MathType>(i);
        const double peak = device.peak_of(math).value;
        const double part = math == MathType::fp8_rowwise ? kRowScales : 1;
        // The CUDA cores, which fp32 is computed on, are not what power limits.
        const double sustained = math == MathType::fp32 ? 1 : device.training_efficiency;
        if (peak > 0)
            precisions[math] = {peak, part * device.matmul_efficiency_of(math) * sustained,
                                operand_bytes(math)};
    }
    return precisions;
}

// The multiply of a linear kernel as C[m,n] = A[m,k]·B[k,n], of experts each with its part of the rows.
std::optional<MatmulShape> linear_shape(const Kernel& kernel) {
    const auto real = [](std::int64_t n) { return static_cast<double>(n); };
    const auto rows = [&](const auto& k) { return real(k.rows) / real(k.experts); };
    if (const auto* f = std::get_if<Linear>(&kernel))
        return MatmulShape{rows(*f), real(f->out), real(f->in), real(f->experts)};
    if (const auto* g = std::get_if<LinearInputGrad>(&kernel))
        return MatmulShape{rows(*g), real(g->in), real(g->out), real(g->experts)};
    if (const auto* w = std::get_if<LinearWeightGrad>(&kernel))
        return MatmulShape{real(w->out), real(w->in), rows(*w), real(w->experts)};
    return std::nullopt;
}

// Of an element of C as it leaves the tile, with what is read to be added to it.
double result_bytes(const Compute& compute) {
    const auto e = static_cast<double>(size_of(compute.dtype));
    const auto g = static_cast<double>(size_of(compute.gradient));
    if (const auto* f = std::get_if<Linear>(&compute.kernel))
        return e * ((f->residual ? 2 : 1) + (needs_argument(f->activation) ? 1 : 0));
    if (const auto* i = std::get_if<LinearInputGrad>(&compute.kernel))
        return i->activation == Activation::none ? e : 2 * e;
    return std::get<LinearWeightGrad>(compute.kernel).accumulate ? 2 * g : g;
}

// The rows of all three operands are `in` or `out` elements long, whichever way they are read.
int linear_alignment(const Kernel& kernel, double bytes) {
    const auto both = [bytes](std::int64_t in, std::int64_t out) {
        return std::min(row_alignment(in, bytes), row_alignment(out, bytes));
    };
    if (const auto* f = std::get_if<Linear>(&kernel)) return both(f->in, f->out);
    if (const auto* g = std::get_if<LinearInputGrad>(&kernel)) return both(g->in, g->out);
    const auto& w = std::get<LinearWeightGrad>(kernel);
    return both(w.in, w.out);
}

template <class Kernel>
AttentionShape attention_shape(const Kernel& k, bool backward) {
    const auto seq = static_cast<double>(k.seq);
    return {static_cast<double>(k.samples),
            seq,
            seq,
            static_cast<double>(k.heads),
            k.head_dim,
            backward,
            k.value()};
}

template <class Kernel>
AttentionShape context_shape(const Kernel& k, bool backward, RuntimeProfile profile) {
    return {static_cast<double>(k.samples),
            static_cast<double>(k.queries),
            static_cast<double>(k.keys),
            static_cast<double>(k.heads),
            k.head_dim,
            backward,
            k.value(),
            context_attention_rate(profile)};
}

bool in_graphs(const Device& device, RuntimeProfile profile) {
    return device.graph_host_cost.value > 0 && profile == RuntimeProfile::shardscope;
}

}  // namespace

CostModel::CostModel(const Device& device, RuntimeProfile profile)
    : kind_(device.kind),
      name_(device.name),
      precisions_(precisions_of(device)),
      memory_(device),
      matmul_(device),
      attention_(device),
      profile_(profile),
      library_(attention_library(profile, device.architecture)),
      overhead_(in_graphs(device, profile) ? device.graph_kernel_overhead.value
                                           : device.kernel_overhead.value),
      fork_join_(device.calibration.fork_join.value) {
    for (const MatmulSample& s : device.calibration.matmul)
        rates_[s.dtype].add(static_cast<double>(s.m), static_cast<double>(s.n),
                            static_cast<double>(s.k), s.rate.value);
    std::map<std::pair<std::string, DType>, std::vector<TimeCurve::Point>> points;
    for (const KernelSample& s : device.calibration.kernels)
        if (s.rate > 0) points[{s.kernel, s.dtype}].push_back({s.work, s.work / s.rate});
    for (auto& [key, list] : points) kernels_.emplace(key, TimeCurve(std::move(list)));
}

Seconds CostModel::kernel(const Compute& compute) const {
    const ProductKernel product = product_kernel(profile_, compute);
    const double more = memory_.seconds(product.bytes / 2, product.bytes / 2);
    return Seconds(fused(compute) + more + (product.launches - 1) * overhead_);
}

double CostModel::fused(const Compute& compute) const {
    if (auto shape = linear_shape(compute.kernel)) {
        shape->result_bytes = result_bytes(compute);
        return linear(compute, *shape);
    }
    if (const auto* o = std::get_if<Orthogonalise>(&compute.kernel)) return orthogonalise(*o);
    double otherwise = 0;
    if (const auto* f = std::get_if<Attention>(&compute.kernel))
        otherwise = attention(compute, attention_shape(*f, false), f->kind);
    else if (const auto* b = std::get_if<AttentionGrad>(&compute.kernel))
        otherwise = attention(compute, attention_shape(*b, true), b->kind);
    else if (const auto* c = std::get_if<ContextAttention>(&compute.kernel))
        otherwise = attention(compute, context_shape(*c, false, profile_), AttentionKind::flash);
    else if (const auto* g = std::get_if<ContextAttentionGrad>(&compute.kernel))
        otherwise = attention(compute, context_shape(*g, true, profile_), AttentionKind::flash);
    else
        otherwise = moving(cost_of(compute.kernel, compute.dtype, compute.gradient)) + overhead_;
    return measured(calibration_name(compute.kernel), compute.dtype, calibration_work(compute),
                    otherwise);
}

Seconds CostModel::kernel(const Compute& compute, int threads) const {
    const Seconds alone = kernel(compute);
    if (threads <= 1) return alone;
    return std::min(alone, alone / threads + Seconds(fork_join_));
}

// Products multiply one expert after the other: none shares a wave of tiles with the next.
double CostModel::tiled(const MatmulShape& shape, const MatmulPrecision& precision) const {
    if (profile_ == RuntimeProfile::shardscope) return matmul_.seconds(shape, precision);
    MatmulShape one = shape;
    one.batch = 1;
    return shape.batch * matmul_.seconds(one, precision);
}

double CostModel::linear(const Compute& compute, const MatmulShape& shape) const {
    if (!(shape.flops() > 0)) return overhead_;
    const MathType math = compute.multiplies_in();
    const auto rates = rates_.find(compute.dtype);
    if (rates != rates_.end() && math == math_of(compute.dtype)) {
        const double multiply = shape.flops() / rates->second.rate(shape.m, shape.n, shape.k);
        return std::max(multiply, overhead_) + epilogue(compute);
    }
    const MatmulPrecision used = precision(math);
    double multiply = shape.flops() / (used.peak * used.efficiency);
    if (kind_ == DeviceKind::gpu)
        multiply = tiled(shape, used) *
                   misalignment_factor(linear_alignment(compute.kernel, used.operand_bytes));
    KernelCost cost = cost_of(compute.kernel, compute.dtype, compute.gradient);
    if (math >= MathType::fp8) {
        // Operands are read as they have been cast; casting them reads what they were.
        const double elements = (shape.m + shape.n) * shape.k * shape.batch;
        const double less = static_cast<double>(size_of(compute.dtype)) - used.operand_bytes;
        cost.read -= Bytes(std::llround(elements * less));
    }
    return std::max(multiply, moving(cost)) + overhead_;
}

double CostModel::attention(const Compute& compute, const AttentionShape& shape,
                            AttentionKind kind) const {
    const KernelCost cost = cost_of(compute.kernel, compute.dtype, compute.gradient);
    if (!(cost.matmul.value > 0)) return overhead_;
    const MatmulPrecision used = precision(math_of(compute.dtype));
    double multiply = cost.matmul.value / (used.peak * used.efficiency);
    if (kind_ == DeviceKind::gpu) {
        if (kind == AttentionKind::flash) {
            multiply = attention_.fused(shape, cost.matmul.value, used, library_);
        } else {
            const auto fp32 = precisions_.find(MathType::fp32);
            multiply =
                attention_.unfused(shape, used, fp32 == precisions_.end() ? used : fp32->second);
        }
    }
    return std::max(multiply, moving(cost)) + overhead_;
}

// Three multiplies per iteration (cost_of has their bytes), behind two passes that divide by the norm; how many kernels
// that is product_kernel() says. On CPUs that were measured, at the rate of linear layers in bf16; on GPUs without bf16
// (Volta), in fp16.
double CostModel::orthogonalise(const Orthogonalise& k) const {
    const auto count = static_cast<double>(k.count), n = static_cast<double>(k.shorter());
    const double m = static_cast<double>(std::max(k.rows, k.cols)), e = size_of(DType::bf16);
    const auto rates = rates_.find(DType::bf16);
    const auto multiply = [&](double rows, double cols, double inner, double read) {
        const MatmulShape shape{rows, cols, inner, count};
        if (rates != rates_.end()) return shape.flops() / rates->second.rate(rows, cols, inner);
        const MatmulPrecision used =
            precision(precisions_.contains(MathType::fp16) && !precisions_.contains(MathType::bf16)
                          ? MathType::fp16
                          : MathType::bf16);
        const double seconds = kind_ == DeviceKind::gpu
                                   ? tiled(shape, used)
                                   : shape.flops() / (used.peak * used.efficiency);
        return std::max(seconds, memory_.seconds(count * read * e, count * rows * cols * e));
    };
    const double x = count * n * m * e;
    const double normalise = memory_.seconds(2 * x, x) + overhead_;
    return normalise + kNewtonSchulzSteps * (multiply(n, n, m, n * m) + multiply(n, n, n, n * n) +
                                             multiply(n, m, n, n * n + n * m));
}

// Passes over the result that the measured multiply does not contain.
double CostModel::epilogue(const Compute& compute) const {
    const Epilogue parts = epilogue_of(compute);
    double seconds = 0;
    for (const std::string_view name : {parts.bias, parts.activation, parts.residual})
        if (!name.empty())
            seconds += measured(name, compute.dtype, {parts.work, 1},
                                memory_.seconds(parts.work / 2, parts.work / 2));
    return seconds;
}

double CostModel::moving(const KernelCost& cost) const {
    return memory_.seconds(static_cast<double>(cost.read.value),
                           static_cast<double>(cost.written.value));
}

double CostModel::measured(std::string_view name, DType dtype, const CalibrationWork& work,
                           double otherwise) const {
    if (kernels_.empty()) return otherwise;
    const auto curve = kernels_.find(std::pair(std::string(name), dtype));
    if (curve == kernels_.end() || curve->second.empty()) return otherwise;
    return std::max(work.parts * curve->second.seconds(work.work), overhead_);
}

MatmulPrecision CostModel::precision(MathType math) const {
    const auto found = precisions_.find(math);
    if (found == precisions_.end()) {
        const std::string type(name_of(math));
        std::string known;
        for (const auto& [other, rate] : precisions_)
            known.append(known.empty() ? "" : ", ").append(name_of(other));
        const std::string device = name_.empty() ? "the device" : "the device " + name_;
        throw Error("device-peak", device + " states no peak rate for " + type,
                    "choose a precision that it states (" + known + "), or add peak." + type +
                        " to its cluster file");
    }
    return found->second;
}

}  // namespace shardscope
