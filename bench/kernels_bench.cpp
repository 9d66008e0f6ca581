// Speed of the CPU kernels on one thread: GFLOP/s and GB/s of core/program/kernel.h's cost formulas
// over measured time. `block` runs forward and backward of a whole GPT block and tells how much of
// its time is not matrix multiplies.
#include <random>
#include <span>
#include <vector>

#include <Eigen/Core>
#include <benchmark/benchmark.h>

#include "backends/cpu/kernels/dispatch.h"
#include "backends/cpu/kernels/gemm.h"
#include "core/program/kernel.h"

namespace shardscope {
namespace {

using std::int64_t;

// Random floats near 1, as many as the largest operand asked for so far needs.
std::vector<float> random_floats(int64_t elements) {
    std::mt19937 engine(1);
    std::normal_distribution<float> normal(0.0f, 0.5f);
    std::vector<float> out(static_cast<std::size_t>(elements));
    for (float& v : out) v = normal(engine);
    return out;
}

// A kernel with operands of its own. Sizes in fp32 elements, 0: absent, negative: zeros (tokens,
// doubles).
class Call {
public:
    Call(const Kernel& kernel, const std::vector<int64_t>& sizes) {
        instruction_.kernel = kernel;
        buffers_.reserve(sizes.size());
        for (std::size_t i = 0; i < sizes.size(); ++i) {
            if (sizes[i] == 0) continue;
            buffers_.push_back(sizes[i] > 0
                                   ? random_floats(sizes[i])
                                   : std::vector<float>(static_cast<std::size_t>(-sizes[i])));
            addresses_[i] = reinterpret_cast<std::byte*>(buffers_.back().data());
        }
    }
    Call(Call&&) = default;  // addresses stay valid; a copy's would not be its own
    void operator()() const {
        cpu::Team alone;
        cpu::execute(instruction_, addresses_, {}, alone);
    }
    KernelCost cost() const { return cost_of(instruction_.kernel, DType::fp32, DType::fp32); }

private:
    Compute instruction_;
    Addresses addresses_{};
    std::vector<std::vector<float>> buffers_;
};

void count(benchmark::State& state, double flops, double bytes) {
    using benchmark::Counter;
    state.counters["GFLOP/s"] = Counter(flops * 1e-9, Counter::kIsIterationInvariantRate);
    if (bytes > 0)
        state.counters["GB/s"] = Counter(bytes * 1e-9, Counter::kIsIterationInvariantRate);
}

void measure(benchmark::State& state, std::span<const Call> calls) {
    cpu::use_one_thread();
    double flops = 0, bytes = 0;
    for (const Call& call : calls) {
        const KernelCost cost = call.cost();
        flops += (cost.matmul.value > 0 ? cost.matmul : cost.other).value;
        bytes += static_cast<double>(cost.moved().value);
    }
    for (auto _ : state)
        for (const Call& call : calls) call();
    count(state, flops, calls.size() == 1 ? bytes : 0);
}

void measure(benchmark::State& state, const Call& call) { measure(state, {&call, 1}); }

template <class T>
void gemm(benchmark::State& state, int64_t m, int64_t n, int64_t k, bool ta, bool tb) {
    cpu::use_one_thread();
    const auto a = random_floats(m * k), b = random_floats(k * n);
    const std::vector<T> left(a.begin(), a.end()), right(b.begin(), b.end());
    std::vector<T> c(static_cast<std::size_t>(m * n));
    for (auto _ : state) {
        cpu::gemm<T>(m, n, k, T(1), {left.data(), ta ? m : k, ta}, {right.data(), tb ? k : n, tb},
                     T(0), c.data(), n);
        benchmark::ClobberMemory();
    }
    count(state, 2.0 * static_cast<double>(m * n * k), 0);
}

void square_onednn(benchmark::State& state) {
    gemm<float>(state, state.range(0), state.range(0), state.range(0), false, true);
}
void square_double(benchmark::State& state) {
    gemm<double>(state, state.range(0), state.range(0), state.range(0), false, true);
}
// Eigen as this program is compiled: for the oldest instruction set.
void square_eigen(benchmark::State& state) {
    const Eigen::MatrixXf a = Eigen::MatrixXf::Random(state.range(0), state.range(0)), b = a;
    Eigen::MatrixXf c(state.range(0), state.range(0));
    for (auto _ : state) {
        c.noalias() = a * b.transpose();
        benchmark::ClobberMemory();
    }
    const double n = static_cast<double>(state.range(0));
    count(state, 2.0 * n * n * n, 0);
}
BENCHMARK(square_onednn)->Arg(32)->Arg(128)->Arg(256)->Arg(512)->Arg(1024);
BENCHMARK(square_double)->Arg(256);
BENCHMARK(square_eigen)->Arg(32)->Arg(128)->Arg(256)->Arg(512)->Arg(1024);

// The three multiplies of a layer: forward, input gradient, weight gradient.
void linear_forward(benchmark::State& state) {
    gemm<float>(state, state.range(0), state.range(2), state.range(1), false, true);
}
void linear_input_grad(benchmark::State& state) {
    gemm<float>(state, state.range(0), state.range(1), state.range(2), false, false);
}
void linear_weight_grad(benchmark::State& state) {
    gemm<float>(state, state.range(2), state.range(1), state.range(0), true, false);
}
BENCHMARK(linear_forward)->Args({512, 256, 768})->Args({512, 256, 1024})->Args({512, 1024, 256});
BENCHMARK(linear_input_grad)->Args({512, 256, 768})->Args({512, 256, 1024})->Args({512, 1024, 256});
BENCHMARK(linear_weight_grad)
    ->Args({512, 256, 768})
    ->Args({512, 256, 1024})
    ->Args({512, 1024, 256});

// Sizes of the operands of each kernel, in the order kernel.h lists.
Call attention(int64_t samples, int64_t seq, int64_t heads, int64_t dim) {
    const Attention k{samples, seq, heads, heads, dim};
    const int64_t y = samples * seq * heads * dim;
    return {k, {3 * y, y, attention_stats_elements(k), attention_workspace_elements(k)}};
}
Call attention_grad(int64_t samples, int64_t seq, int64_t heads, int64_t dim) {
    const AttentionGrad k{samples, seq, heads, heads, dim};
    const int64_t y = samples * seq * heads * dim;
    return {k, {y, 3 * y, y, samples * heads * seq, 3 * y, attention_workspace_elements(k)}};
}
Call linear(int64_t rows, int64_t in, int64_t out, bool residual, Activation activation) {
    const int64_t y = rows * out;
    return {Linear{rows, in, out, true, residual, activation},
            {rows * in, in * out, out, residual ? y : 0, y, needs_argument(activation) ? y : 0}};
}
Call input_grad(int64_t rows, int64_t in, int64_t out, Activation activation) {
    return {LinearInputGrad{rows, in, out, activation},
            {rows * out, in * out, activation == Activation::none ? 0 : rows * in, rows * in}};
}
Call weight_grad(int64_t rows, int64_t in, int64_t out) {
    return {LinearWeightGrad{rows, in, out, true, true}, {rows * in, rows * out, in * out, out}};
}
Call norm(int64_t rows, int64_t hidden) {
    const int64_t n = rows * hidden;
    return {Norm{rows, hidden}, {n, hidden, hidden, n, 2 * rows}};
}
Call norm_input_grad(int64_t rows, int64_t hidden) {
    const int64_t n = rows * hidden;
    return {NormInputGrad{rows, hidden, NormKind::layer_norm, true},
            {n, n, 2 * rows, hidden, n, n}};
}
Call norm_weight_grad(int64_t rows, int64_t hidden) {
    const int64_t n = rows * hidden;
    return {NormWeightGrad{rows, hidden, NormKind::layer_norm, true},
            {n, n, 2 * rows, hidden, hidden}};
}

void attention_forward(benchmark::State& state) {
    measure(state, attention(state.range(0), state.range(1), state.range(2), state.range(3)));
}
void attention_backward(benchmark::State& state) {
    measure(state, attention_grad(state.range(0), state.range(1), state.range(2), state.range(3)));
}
BENCHMARK(attention_forward)->Args({4, 128, 8, 32})->Args({1, 1024, 12, 64});
BENCHMARK(attention_backward)->Args({4, 128, 8, 32})->Args({1, 1024, 12, 64});

void linear_gelu(benchmark::State& state) {
    measure(state, linear(512, 256, 1024, false, Activation::gelu));
}
void input_grad_gelu(benchmark::State& state) {
    measure(state, input_grad(512, 1024, 256, Activation::gelu));
}
void weight_grad_bias(benchmark::State& state) { measure(state, weight_grad(512, 256, 1024)); }
void gelu_alone(benchmark::State& state) {
    measure(state, Call(Activate{1 << 16, Activation::gelu}, {1 << 16, 1 << 16}));
}
void gelu_grad_alone(benchmark::State& state) {
    measure(state, Call(ActivateGrad{1 << 16, Activation::gelu}, {1 << 16, 1 << 16, 1 << 16}));
}
void swiglu(benchmark::State& state) {
    measure(state, Call(SwiGlu{512, 688}, {2 * 512 * 688, 512 * 688}));
}
void norm_forward(benchmark::State& state) { measure(state, norm(512, state.range(0))); }
void norm_backward_input(benchmark::State& state) {
    measure(state, norm_input_grad(512, state.range(0)));
}
void norm_backward_weight(benchmark::State& state) {
    measure(state, norm_weight_grad(512, state.range(0)));
}
void rope(benchmark::State& state) { measure(state, Call(Rope{512, 128, 8, 8, 32}, {512 * 768})); }
void embedding(benchmark::State& state) {
    measure(state, Call(Embedding{512, 128, 256, 256}, {-512, 256 * 256, 128 * 256, 512 * 256}));
}
void cross_entropy(benchmark::State& state) {
    const int64_t classes = state.range(0);
    measure(state, Call(SoftmaxCrossEntropy{512, classes, 1e-3}, {512 * classes, -512, -2}));
}
void sum_squares(benchmark::State& state) {
    measure(state, Call(SumSquares{state.range(0)}, {state.range(0), -2}));
}
void adamw(benchmark::State& state) {
    const int64_t n = state.range(0);
    measure(state, Call(OptimizerStep{n, OptimizerSpec{}, 1.0, false}, {n, -2, n, 0, -n, -n}));
}
BENCHMARK(linear_gelu);
BENCHMARK(input_grad_gelu);
BENCHMARK(weight_grad_bias);
BENCHMARK(gelu_alone);
BENCHMARK(gelu_grad_alone);
BENCHMARK(swiglu);
BENCHMARK(norm_forward)->Arg(256)->Arg(4096);
BENCHMARK(norm_backward_input)->Arg(256)->Arg(4096);
BENCHMARK(norm_backward_weight)->Arg(256)->Arg(4096);
BENCHMARK(rope);
BENCHMARK(embedding);
BENCHMARK(cross_entropy)->Arg(256)->Arg(50257);
BENCHMARK(sum_squares)->Arg(1 << 16)->Arg(1 << 24);
BENCHMARK(adamw)->Arg(1 << 16)->Arg(1 << 22);

// Forward and backward of one block, hidden 256, 8 heads, sequences of 128; the argument is the
// micro-batch. Every call has its own operands, as in a model of several layers.
std::vector<Call> gpt_block(int64_t samples) {
    const int64_t seq = 128, hidden = 256, heads = 8, rows = samples * seq;
    const auto none = Activation::none, gelu = Activation::gelu;
    std::vector<Call> calls;
    calls.push_back(norm(rows, hidden));
    calls.push_back(linear(rows, hidden, 3 * hidden, false, none));
    calls.push_back(attention(samples, seq, heads, hidden / heads));
    calls.push_back(linear(rows, hidden, hidden, true, none));
    calls.push_back(norm(rows, hidden));
    calls.push_back(linear(rows, hidden, 4 * hidden, false, gelu));
    calls.push_back(linear(rows, 4 * hidden, hidden, true, none));
    calls.push_back(weight_grad(rows, 4 * hidden, hidden));
    calls.push_back(input_grad(rows, 4 * hidden, hidden, gelu));
    calls.push_back(weight_grad(rows, hidden, 4 * hidden));
    calls.push_back(input_grad(rows, hidden, 4 * hidden, none));
    calls.push_back(norm_weight_grad(rows, hidden));
    calls.push_back(norm_input_grad(rows, hidden));
    calls.push_back(weight_grad(rows, hidden, hidden));
    calls.push_back(input_grad(rows, hidden, hidden, none));
    calls.push_back(attention_grad(samples, seq, heads, hidden / heads));
    calls.push_back(weight_grad(rows, hidden, 3 * hidden));
    calls.push_back(input_grad(rows, hidden, 3 * hidden, none));
    calls.push_back(norm_weight_grad(rows, hidden));
    calls.push_back(norm_input_grad(rows, hidden));
    return calls;
}
void block(benchmark::State& state) {
    std::vector<Call> calls;
    for (int layer = 0; layer < 6; ++layer)
        for (Call& call : gpt_block(state.range(0))) calls.push_back(std::move(call));
    measure(state, calls);
}
BENCHMARK(block)->Arg(1)->Arg(4)->Arg(8)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace shardscope

BENCHMARK_MAIN();
