#include "backends/cuda/matmul/linear.h"

#include <algorithm>
#include <map>
#include <utility>

#include "backends/cuda/device/check.h"
#include "backends/cuda/device/handles.h"
#include "backends/cuda/kernels/column_sums.h"
#include "backends/cuda/kernels/kernels.h"
#include "backends/cuda/matmul/cublaslt_matmul.h"
#include "backends/cuda/matmul/epilogue.h"
#include "core/error.h"

namespace shardscope::cuda {
namespace {

template <class T>
T* as(std::byte* address) {
    return reinterpret_cast<T*>(address);
}
std::byte* at(const Addresses& operands, int index) {
    return index < 0 ? nullptr : operands[static_cast<std::size_t>(index)];
}

MatmulAddresses addresses_of(const MatmulPlan& plan, const Addresses& operands) {
    const MatmulOperands& o = plan.operands;
    return {at(operands, o.a), at(operands, o.b),    at(operands, o.c),
            at(operands, o.d), at(operands, o.bias), at(operands, o.aux)};
}

// cuBLASLt's epilogues want bias and aux at multiples of 16 bytes.
bool aligned(std::initializer_list<const std::byte*> addresses) {
    return std::all_of(addresses.begin(), addresses.end(), [](const std::byte* address) {
        return reinterpret_cast<std::uintptr_t>(address) % 16 == 0;
    });
}
LinearCase case_of(const Linear&, DType dtype, const Addresses& o) {
    return {dtype, dtype, o[5] != nullptr, aligned({o[2], o[3], o[5]})};
}
LinearCase case_of(const LinearInputGrad&, DType dtype, const Addresses& o) {
    return {dtype, dtype, false, aligned({o[2]})};
}
LinearCase case_of(const LinearWeightGrad&, DType dtype, DType gradient, const Addresses& o) {
    return {dtype, gradient, false, aligned({o[3]})};
}

template <class T>
void finish(const Linear& k, const MatmulPlan& plan, const Addresses& o,
            const LaunchContext& context) {
    const LinearRemainder& after = plan.after;
    Linear rest = k;
    rest.activation = after.activation;
    linear_epilogue(rest, as<const T>(at(o, plan.operands.d)),
                    after.bias ? as<const T>(o[2]) : nullptr,
                    after.residual ? as<const T>(o[3]) : nullptr, as<T>(o[4]),
                    // Where the multiply added the bias, pre is complete already.
                    after.bias ? as<T>(o[5]) : nullptr, context);
}
template <class T>
void finish(const LinearInputGrad& k, const MatmulPlan& plan, const Addresses& o,
            const LaunchContext& context) {
    run<T>(ActivateGrad{k.rows * k.in, plan.after.activation}, {o[3], o[2], o[3]}, context);
}

template <class Kernel>
void finish(const Kernel& k, DType dtype, const MatmulPlan& plan, const Addresses& o,
            const LaunchContext& context) {
    if (!plan.after.any()) return;
    if (dtype == DType::bf16)
        finish<Bf16>(k, plan, o, context);
    else
        finish<float>(k, plan, o, context);
}

void finish(const LinearWeightGrad& k, DType dtype, DType gradient, const MatmulPlan& plan,
            const Addresses& o, const LaunchContext& context) {
    if (!plan.after.column_sums) return;
    if (dtype == DType::fp32)
        column_sums(as<const float>(o[1]), k.rows, k.out, k.accumulate, as<float>(o[3]), context);
    else if (gradient == DType::fp32)
        column_sums(as<const Bf16>(o[1]), k.rows, k.out, k.accumulate, as<float>(o[3]), context);
    else
        column_sums(as<const Bf16>(o[1]), k.rows, k.out, k.accumulate, as<Bf16>(o[3]), context);
}

// The least of a few times that one candidate takes, milliseconds. Waits for the stream.
float time_of(CublasLtMatmul& matmul, int candidate, const MatmulAddresses& addresses,
              const LaunchContext& context) {
    constexpr int kTimes = 5;
    const EventHandle begin = make_timing_event(), end = make_timing_event();
    matmul.start(candidate, addresses, context);  // loads its code
    float least = 0.0f;
    for (int i = 0; i < kTimes; ++i) {
        check(cudaEventRecord(begin.get(), context.stream), "cudaEventRecord");
        matmul.start(candidate, addresses, context);
        check(cudaEventRecord(end.get(), context.stream), "cudaEventRecord");
        check(cudaEventSynchronize(end.get()), "cudaEventSynchronize");
        float milliseconds = 0.0f;
        check(cudaEventElapsedTime(&milliseconds, begin.get(), end.get()), "cudaEventElapsedTime");
        least = i == 0 ? milliseconds : std::min(least, milliseconds);
    }
    return least;
}

int fastest(CublasLtMatmul& matmul, const MatmulAddresses& addresses,
            const LaunchContext& context) {
    int best = 0;
    float least = 0.0f;
    for (int i = 0; i < matmul.candidates(); ++i) {
        const float time = time_of(matmul, i, addresses, context);
        if (i == 0 || time < least) best = i, least = time;
    }
    return best;
}

}  // namespace

struct Linears::State {
    struct Choice {
        CublasLtMatmul matmul;
        int candidate = 0;
    };
    using Key = std::pair<MatmulCall, MatmulAlignment>;

    MatmulOptions options;
    CublasLtOwner<cublasLtHandle_t> handle;
    std::map<Key, Choice> choices;

    // Null where cuBLASLt has no algorithm for the call.
    Choice* choose(const MatmulPlan& plan, const Addresses& operands, const LaunchContext& context,
                   bool times) {
        const MatmulAddresses addresses = addresses_of(plan, operands);
        const Key key{plan.call, alignment_of(addresses)};
        auto found = choices.find(key);
        if (found == choices.end()) {
            const int most = std::clamp(options.timed_candidates, 1, kMostCandidates);
            CublasLtMatmul matmul(handle.get(), plan.call, addresses, context.scratch_bytes, most);
            found = choices.emplace(key, Choice{std::move(matmul), 0}).first;
            Choice& choice = found->second;
            if (times && choice.matmul.candidates() > 1)
                choice.candidate = fastest(choice.matmul, addresses, context);
        }
        return found->second.matmul.candidates() > 0 ? &found->second : nullptr;
    }

    // What runs: the plan with the epilogues that the options allow, without them where cuBLASLt has none.
    template <class Kernel>
    std::pair<MatmulPlan, Choice*> resolve(const Kernel& kernel, const LinearCase& with,
                                           const Addresses& operands, const LaunchContext& context,
                                           bool times) {
        MatmulPlan plan = plan_matmul(kernel, with, options);
        Choice* choice = choose(plan, operands, context, times);
        if (!choice && plan.call.epilogue != MatmulEpilogue::none) {
            MatmulOptions plain = options;
            plain.fused_epilogues = false;
            plan = plan_matmul(kernel, with, plain);
            choice = choose(plan, operands, context, times);
        }
        if (!choice)
            throw Error("matmul", "cuBLASLt has no algorithm for " + text_of(plan.call),
                        "use widths that are multiples of 8", ErrorKind::run_failed);
        return {plan, choice};
    }

    template <class Kernel>
    MatmulPlan multiply(const Kernel& kernel, const LinearCase& with, const Addresses& operands,
                        const LaunchContext& context) {
        const auto [plan, choice] = resolve(kernel, with, operands, context, false);
        choice->matmul.start(choice->candidate, addresses_of(plan, operands), context);
        return plan;
    }
};

Linears::Linears(const MatmulOptions& options) : state_(std::make_unique<State>()) {
    state_->options = options;
    cublasLtHandle_t handle = nullptr;
    check(cublasLtCreate(&handle), "cublasLtCreate");
    state_->handle.reset(handle);
}
Linears::~Linears() = default;

void Linears::prepare(const Linear& k, DType dtype, const Addresses& operands,
                      const LaunchContext& context) {
    state_->resolve(k, case_of(k, dtype, operands), operands, context, true);
}
void Linears::prepare(const LinearInputGrad& k, DType dtype, const Addresses& operands,
                      const LaunchContext& context) {
    state_->resolve(k, case_of(k, dtype, operands), operands, context, true);
}
void Linears::prepare(const LinearWeightGrad& k, DType dtype, DType gradient,
                      const Addresses& operands, const LaunchContext& context) {
    state_->resolve(k, case_of(k, dtype, gradient, operands), operands, context, true);
}

void Linears::run(const Linear& k, DType dtype, const Addresses& operands,
                  const LaunchContext& context) {
    const auto plan = state_->multiply(k, case_of(k, dtype, operands), operands, context);
    finish(k, dtype, plan, operands, context);
}
void Linears::run(const LinearInputGrad& k, DType dtype, const Addresses& operands,
                  const LaunchContext& context) {
    const auto plan = state_->multiply(k, case_of(k, dtype, operands), operands, context);
    finish(k, dtype, plan, operands, context);
}
void Linears::run(const LinearWeightGrad& k, DType dtype, DType gradient, const Addresses& operands,
                  const LaunchContext& context) {
    const auto plan = state_->multiply(k, case_of(k, dtype, gradient, operands), operands, context);
    finish(k, dtype, gradient, plan, operands, context);
}

std::vector<std::string> Linears::choices() const {
    std::vector<std::string> lines;
    for (const auto& [key, choice] : state_->choices) {
        const int candidates = choice.matmul.candidates();
        lines.push_back(text_of(key.first) + ": " +
                        (candidates == 0 ? std::string("refused")
                                         : "candidate " + std::to_string(choice.candidate + 1) +
                                               " of " + std::to_string(candidates)));
    }
    return lines;
}

}  // namespace shardscope::cuda
