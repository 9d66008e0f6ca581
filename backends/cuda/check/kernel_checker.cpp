#include "backends/cuda/check/kernel_checker.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include <cuda_runtime.h>

#include "backends/cuda/check/operand_copy.h"
#include "backends/cuda/device/check.h"
#include "backends/cuda/device/shape.h"
#include "core/program/operand_types.h"

namespace shardscope::cuda {
namespace {

using Values = std::vector<double>;

// The CPU tiles attention over a workspace, which GPUs do not want: the elements of operand `i`.
std::int64_t workspace_elements(const Kernel& kernel, std::size_t i) {
    if (const auto* forward = std::get_if<Attention>(&kernel); forward && i == 3)
        return attention_workspace_elements(*forward);
    if (const auto* backward = std::get_if<AttentionGrad>(&kernel); backward && i == 5)
        return attention_workspace_elements(*backward);
    return 0;
}

// Operands for the reference: fp64, but for token numbers.
class ReferenceOperands {
public:
    ReferenceOperands(const KernelCase& c, const std::vector<Values>& values)
        : compute_{c.kernel, DType::fp64, DType::fp64, {}}, types_(operand_dtypes(compute_)) {
        for (std::size_t i = 0; i < values.size(); ++i) {
            Values& kept = numbers_.emplace_back(values[i]);
            if (kept.empty())
                kept.resize(static_cast<std::size_t>(workspace_elements(c.kernel, i)));
            integers_.emplace_back();
            if (types_[i] == DType::int32) integers_[i].assign(kept.begin(), kept.end());
        }
    }
    Addresses addresses() {
        Addresses at{};
        for (std::size_t i = 0; i < numbers_.size(); ++i)
            if (!numbers_[i].empty())
                at[i] = types_[i] == DType::int32
                            ? reinterpret_cast<std::byte*>(integers_[i].data())
                            : reinterpret_cast<std::byte*>(numbers_[i].data());
        return at;
    }
    const Compute& compute() const { return compute_; }
    const Values& values(std::size_t i) const { return numbers_[i]; }

private:
    Compute compute_;
    std::array<DType, kMaxOperands> types_;
    std::vector<Values> numbers_;
    std::vector<std::vector<std::int32_t>> integers_;
};

// Operands of the kernel that runs first, out of those of the case's own.
Addresses first_addresses(const KernelCase& c, const Addresses& all) {
    Addresses at{};
    for (std::size_t i = 0; i < c.first_operands.size(); ++i)
        at[i] = all[static_cast<std::size_t>(c.first_operands[i])];
    return at;
}

// Log-sum-exps: of one row they may be as near to zero as one score is, which says nothing of how well it is
// known. Off by δ, what they are the logarithm of is off by a factor 1 + δ: they count as of size 1 at least.
bool is_logarithm(const Kernel& kernel, std::size_t operand) {
    const auto* attention = std::get_if<Attention>(&kernel);
    return attention != nullptr && attention->kind == AttentionKind::flash && operand == 2;
}

double relative_error(const Values& out, const Values& expected, bool logarithms) {
    double difference = 0, norm = 0;
    for (std::size_t i = 0; i < out.size(); ++i) {
        if (out[i] == expected[i] && std::isinf(out[i])) continue;
        difference += (out[i] - expected[i]) * (out[i] - expected[i]);
        norm += std::max(expected[i] * expected[i], logarithms ? 1.0 : 0.0);
    }
    if (difference == 0) return 0;
    const double error = norm > 0 ? std::sqrt(difference / norm) : std::sqrt(difference);
    return std::isfinite(error) ? error : std::numeric_limits<double>::infinity();
}

CheckResult result_of(const KernelCase& c) {
    CheckResult result;
    result.kernel = kernel_name(c.kernel);
    result.shape = c.shape;
    result.dtype = c.dtype;
    result.gradient = c.gradient;
    return result;
}

// Keeps the operand that is farthest from what is allowed.
void take(CheckResult& result, int operand, double error, double tolerance) {
    if (result.operand >= 0 && error / tolerance <= result.error / result.tolerance) return;
    result.operand = operand;
    result.error = error;
    result.tolerance = tolerance;
}

// The current device's.
DeviceShape current_shape() {
    int device = 0;
    check(cudaGetDevice(&device), "cudaGetDevice");
    return shape_of(device);
}

template <class T>
T* allocate(std::int64_t bytes) {
    void* memory = nullptr;
    check_allocation(cudaMalloc(&memory, static_cast<std::size_t>(bytes)), "cudaMalloc",
                     Bytes(bytes));
    return static_cast<T*>(memory);
}

}  // namespace

KernelChecker::KernelChecker(Reference reference, DeviceKernels kernels, std::uint64_t seed)
    : reference_(std::move(reference)), kernels_(std::move(kernels)), random_(seed) {
    context_.device = current_shape();
    check(cudaStreamCreateWithFlags(&context_.stream, cudaStreamNonBlocking),
          "cudaStreamCreateWithFlags");
    context_.scratch = allocate<std::byte>(kScratchBytes);
    context_.scratch_bytes = kScratchBytes;
    words_ = allocate<StepWords>(sizeof(StepWords));
    context_.words = words_;
}

KernelChecker::~KernelChecker() {
    cudaFree(words_);
    cudaFree(context_.scratch);
    cudaStreamDestroy(context_.stream);
}

LaunchContext KernelChecker::context_for(const KernelCase& c) {
    const StepWords words{c.step};
    check(cudaMemcpy(words_, &words, sizeof words, cudaMemcpyHostToDevice), "cudaMemcpy");
    // What a kernel leaves in its scratch memory must not help the next one.
    check(cudaMemset(context_.scratch, 0xFF, static_cast<std::size_t>(1) << 20), "cudaMemset");
    check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    LaunchContext context = context_;
    context.data_index = c.data_index;
    context.tensor_index = c.tensor_index;
    return context;
}

CheckResult KernelChecker::compare(const KernelCase& c) {
    const Compute compute = c.compute(c.kernel);
    const auto types = operand_dtypes(compute);
    std::vector<Values> values;
    std::vector<OperandCopy> copies;
    Addresses at{};
    for (std::size_t i = 0; i < c.operands.size(); ++i) {
        values.push_back(initial_values(c.operands[i], types[i], random_));
        copies.emplace_back(values[i], types[i], c.displaced);
        at[i] = copies[i].address();
    }
    const LaunchContext context = context_for(c);
    if (c.first) kernels_(c.compute(*c.first), first_addresses(c, at), context);
    kernels_(compute, at, context);
    check(cudaStreamSynchronize(context.stream), "cudaStreamSynchronize");

    ReferenceOperands expected(c, values);
    const StepContext step{c.step, 0, c.data_index, c.tensor_index};
    const Addresses reference_at = expected.addresses();
    if (c.first)
        reference_({*c.first, DType::fp64, DType::fp64, {}}, first_addresses(c, reference_at),
                   step);
    reference_(expected.compute(), reference_at, step);

    CheckResult result = result_of(c);
    const auto access = accesses(c.kernel);
    for (std::size_t i = 0; i < copies.size(); ++i) {
        if (!at[i]) continue;
        const int operand = static_cast<int>(i);
        const Values out = copies[i].read();
        if (!copies[i].surroundings_unchanged())
            result.complaint = "bytes beside operand " + std::to_string(i) + " were written";
        if (access[i] == Access::write || access[i] == Access::read_write)
            take(result, operand,
                 relative_error(out, expected.values(i), is_logarithm(c.kernel, i)),
                 tolerance_of(types[i]));
        else if (c.operands[i].kind != OperandContent::Kind::written && !copies[i].unchanged())
            result.complaint = "operand " + std::to_string(i) + ", which is only read, was written";
    }
    return result;
}

CheckResult KernelChecker::time(const KernelCase& c) {
    constexpr int kWarmUps = 3, kTimes = 21;
    const Compute compute = c.compute(c.kernel);
    const auto types = operand_dtypes(compute);
    std::vector<OperandCopy> copies;
    Addresses at{};
    for (std::size_t i = 0; i < c.operands.size(); ++i) {
        OperandContent content = c.operands[i];
        if (content.kind == OperandContent::Kind::written)
            content = uniform(content.elements, 0.5, 1.0);
        copies.emplace_back(initial_values(content, types[i], random_), types[i], c.displaced);
        at[i] = copies[i].address();
    }
    const LaunchContext context = context_for(c);
    cudaEvent_t begin = nullptr, end = nullptr;
    check(cudaEventCreate(&begin), "cudaEventCreate");
    check(cudaEventCreate(&end), "cudaEventCreate");
    if (c.first) kernels_(c.compute(*c.first), first_addresses(c, at), context);
    std::vector<double> seconds;
    for (int i = 0; i < kWarmUps + kTimes; ++i) {
        check(cudaEventRecord(begin, context.stream), "cudaEventRecord");
        kernels_(compute, at, context);
        check(cudaEventRecord(end, context.stream), "cudaEventRecord");
        check(cudaEventSynchronize(end), "cudaEventSynchronize");
        float milliseconds = 0;
        check(cudaEventElapsedTime(&milliseconds, begin, end), "cudaEventElapsedTime");
        if (i >= kWarmUps) seconds.push_back(static_cast<double>(milliseconds) * 1e-3);
    }
    cudaEventDestroy(begin);
    cudaEventDestroy(end);
    std::nth_element(seconds.begin(), seconds.begin() + kTimes / 2, seconds.end());

    CheckResult result = result_of(c);
    const KernelCost cost = cost_of(c.kernel, c.dtype, c.gradient);
    const double median = seconds[kTimes / 2];
    result.time = Seconds(median);
    result.moved = BytesPerSecond(static_cast<double>(cost.moved().value) / median);
    result.computed = FlopsPerSecond(cost.matmul.value / median);
    return result;
}

}  // namespace shardscope::cuda
