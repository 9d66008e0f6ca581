#include "tests/host_device/matmul_loops.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/bf16.h"

namespace host_device {

namespace {

using shardscope::Bf16;

std::size_t size_of(cudaDataType_t type) { return type == CUDA_R_16BF ? 2 : 4; }

float load(const std::byte* base, cudaDataType_t type, std::int64_t i) {
    const std::byte* at = base + static_cast<std::size_t>(i) * size_of(type);
    if (type == CUDA_R_16BF) {
        Bf16 value;
        std::memcpy(&value, at, 2);
        return value;
    }
    float value = 0;
    std::memcpy(&value, at, 4);
    return value;
}

void store(std::byte* base, cudaDataType_t type, std::int64_t i, float value) {
    std::byte* at = base + static_cast<std::size_t>(i) * size_of(type);
    if (type == CUDA_R_16BF) {
        const Bf16 rounded(value);
        std::memcpy(at, &rounded, 2);
    } else {
        std::memcpy(at, &value, 4);
    }
}

// To the ten bits of mantissa that TF32 keeps, to nearest.
float to_tf32(float value) {
    if (!std::isfinite(value)) return value;
    const auto bits = std::bit_cast<std::uint32_t>(value);
    return std::bit_cast<float>((bits + 0xFFFu + (bits >> 13 & 1u)) & ~0x1FFFu);
}

// The tanh form, which is cuBLASLt's: x/2 · (1 + tanh(√(2/π)(x + 0.044715 x³))).
constexpr double kRoot = 0.7978845608028654, kCubic = 0.044715;
float gelu(float x) {
    const double t = std::tanh(kRoot * (x + kCubic * x * x * x));
    return static_cast<float>(0.5 * x * (1 + t));
}
float gelu_derivative(float x) {
    const double t = std::tanh(kRoot * (x + kCubic * x * x * x));
    const double slope = kRoot * (1 + 3 * kCubic * x * x);
    return static_cast<float>(0.5 * (1 + t) + 0.5 * x * (1 - t * t) * slope);
}

// A packed operand: `lines` of k values for each of the k steps, [k][lines].
struct Packed {
    std::vector<float> values;
    std::int64_t lines;
    const float* step(std::int64_t k) const { return values.data() + k * lines; }
};

Packed pack(const std::byte* base, const MatrixShape& shape, bool k_is_row, bool tf32) {
    const std::int64_t lines = k_is_row ? shape.cols : shape.rows;
    const std::int64_t steps = k_is_row ? shape.rows : shape.cols;
    Packed packed{std::vector<float>(static_cast<std::size_t>(lines * steps)), lines};
    for (std::int64_t k = 0; k < steps; ++k) {
        for (std::int64_t i = 0; i < lines; ++i) {
            const std::int64_t at = k_is_row ? k + i * shape.ld : i + k * shape.ld;
            const float value = load(base, shape.type, at);
            packed.values[static_cast<std::size_t>(k * lines + i)] = tf32 ? to_tf32(value) : value;
        }
    }
    return packed;
}

class Batch {
public:
    Batch(const MatmulProblem& problem, float alpha, float beta, const MatmulPointers& at)
        : p_(problem),
          alpha_(alpha),
          beta_(beta),
          at_(at),
          a_(pack(at.a, p_.a, p_.transpose_a, p_.tf32)),
          b_(pack(at.b, p_.b, !p_.transpose_b, p_.tf32)),
          row_sums_(static_cast<std::size_t>(p_.m())) {}

    void run() {
        // Gradients of the bias are of the operands, which D may not overwrite before.
        if (p_.epilogue == CUBLASLT_EPILOGUE_BGRADA) store_sums(a_);
        if (p_.epilogue == CUBLASLT_EPILOGUE_BGRADB) store_sums(b_);
        for (std::int64_t j = 0; j < p_.n(); ++j) run_column(j);
        if (p_.epilogue == CUBLASLT_EPILOGUE_DGELU_BGRAD) {
            for (std::int64_t i = 0; i < p_.m(); ++i) {
                store(at_.bias, p_.bias_type, i, row_sums_[static_cast<std::size_t>(i)]);
            }
        }
    }

private:
    void store_sums(const Packed& operand) const {
        std::vector<float> sums(static_cast<std::size_t>(operand.lines));
        for (std::int64_t k = 0; k < p_.k(); ++k) {
            for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += operand.step(k)[i];
        }
        for (std::size_t i = 0; i < sums.size(); ++i) {
            store(at_.bias, p_.bias_type, static_cast<std::int64_t>(i), sums[i]);
        }
    }

    void run_column(std::int64_t j) {
        const auto m = static_cast<std::size_t>(p_.m());
        std::vector<float> sum(m);
        for (std::int64_t k = 0; k < p_.k(); ++k) {
            const float b = b_.step(k)[j];
            const float* a = a_.step(k);
            for (std::size_t i = 0; i < m; ++i) sum[i] += a[i] * b;
        }
        for (std::size_t i = 0; i < m; ++i) finish(static_cast<std::int64_t>(i), j, sum[i]);
    }

    void finish(std::int64_t i, std::int64_t j, float sum) {
        float value = alpha_ * sum;
        if (beta_ != 0) value += beta_ * load(at_.c, p_.c.type, i + j * p_.c.ld);
        if ((p_.epilogue & CUBLASLT_EPILOGUE_BIAS) != 0) value += load(at_.bias, p_.bias_type, i);
        const std::int64_t in_aux = i + j * p_.aux_ld;
        if ((p_.epilogue & CUBLASLT_EPILOGUE_RELU) != 0) value = value > 0 ? value : 0;
        if ((p_.epilogue & CUBLASLT_EPILOGUE_GELU) != 0) {
            if (p_.uses_aux()) store(at_.aux, p_.aux_type, in_aux, value);
            value = gelu(value);
        }
        if ((p_.epilogue & 64) != 0) {
            value *= gelu_derivative(load(at_.aux, p_.aux_type, in_aux));
            row_sums_[static_cast<std::size_t>(i)] += value;
        }
        store(at_.d, p_.d.type, i + j * p_.d.ld, value);
    }

    const MatmulProblem& p_;
    float alpha_, beta_;
    MatmulPointers at_;
    Packed a_, b_;
    std::vector<float> row_sums_;
};

bool aligned(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0; }

bool shapes_fit(const MatmulProblem& p) {
    const auto rows = [](const MatrixShape& s, bool transposed) {
        return transposed ? s.cols : s.rows;
    };
    return rows(p.a, p.transpose_a) == p.m() && rows(p.b, !p.transpose_b) == p.n() &&
           rows(p.b, p.transpose_b) == p.k() && p.c.rows == p.d.rows && p.c.cols == p.d.cols;
}

bool known_epilogue(cublasLtEpilogue_t epilogue) {
    switch (epilogue) {
        case CUBLASLT_EPILOGUE_DEFAULT:
        case CUBLASLT_EPILOGUE_RELU:
        case CUBLASLT_EPILOGUE_BIAS:
        case CUBLASLT_EPILOGUE_RELU_BIAS:
        case CUBLASLT_EPILOGUE_GELU:
        case CUBLASLT_EPILOGUE_GELU_BIAS:
        case CUBLASLT_EPILOGUE_GELU_AUX:
        case CUBLASLT_EPILOGUE_GELU_AUX_BIAS:
        case CUBLASLT_EPILOGUE_DGELU:
        case CUBLASLT_EPILOGUE_DGELU_BGRAD:
        case CUBLASLT_EPILOGUE_BGRADA:
        case CUBLASLT_EPILOGUE_BGRADB:
            return true;
    }
    return false;
}

}  // namespace

std::size_t MatrixShape::bytes(std::int64_t batches) const {
    if (rows == 0 || cols == 0) return 0;
    const std::int64_t last = (batches - 1) * batch_stride + (cols - 1) * ld + rows;
    return static_cast<std::size_t>(last) * element();
}

bool MatmulProblem::uses_bias() const {
    return (epilogue & CUBLASLT_EPILOGUE_BIAS) != 0 || epilogue == CUBLASLT_EPILOGUE_BGRADA ||
           epilogue == CUBLASLT_EPILOGUE_BGRADB || epilogue == CUBLASLT_EPILOGUE_DGELU_BGRAD;
}

const char* why_unsupported(const MatmulProblem& p, const MatmulPointers& at) {
    if (!shapes_fit(p)) return "op(A), op(B), C and D do not fit together";
    const bool bf16 = p.a.type == CUDA_R_16BF;
    if (p.a.type != p.b.type || p.c.type != p.d.type) return "A and B, or C and D, differ in type";
    if (!bf16 && p.d.type != CUDA_R_32F) return "fp32 operands with another result";
    if (!known_epilogue(p.epilogue)) return "the epilogue";
    if (p.uses_bias()) {
        if (at.bias == nullptr) return "the epilogue's bias is missing";
        if (!aligned(at.bias)) return "the bias is not aligned to 16 bytes";
        if (p.bias_type != p.d.type) return "the bias is not of D's type";
    }
    if (p.uses_aux()) {
        if (at.aux == nullptr) return "the epilogue's auxiliary matrix is missing";
        if (!aligned(at.aux)) return "the auxiliary matrix is not aligned to 16 bytes";
        if (p.aux_ld < p.m()) return "the auxiliary matrix' leading dimension is too small";
        if (p.aux_ld % 8 != 0) return "the auxiliary matrix' leading dimension is no multiple of 8";
        if (p.batches > 1 && p.aux_stride % 8 != 0) return "the auxiliary matrix' batch stride";
    }
    return nullptr;
}

void multiply(const MatmulProblem& p, float alpha, float beta, const MatmulPointers& at) {
    for (std::int64_t i = 0; i < p.batches; ++i) {
        const auto skip = [i](auto* base, std::int64_t stride, std::size_t element) {
            return base == nullptr ? base : base + i * stride * static_cast<std::int64_t>(element);
        };
        MatmulPointers one;
        one.a = skip(at.a, p.a.batch_stride, p.a.element());
        one.b = skip(at.b, p.b.batch_stride, p.b.element());
        one.c = skip(at.c, p.c.batch_stride, p.c.element());
        one.d = skip(at.d, p.d.batch_stride, p.d.element());
        one.bias = skip(at.bias, p.bias_stride, size_of(p.bias_type));
        one.aux = skip(at.aux, p.aux_stride, size_of(p.aux_type));
        Batch(p, alpha, beta, one).run();
    }
}

}  // namespace host_device
