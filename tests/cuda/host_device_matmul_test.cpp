// The device that the other tests of this folder stand on: cuBLASLt, against sums in double precision.
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include <cublasLt.h>
#include <gtest/gtest.h>

#include "core/bf16.h"
#include "tests/cuda/on_device.h"

namespace {

using shardscope::Bf16;
using shardscope::test::OnDevice;

struct MatmulCase {
    std::int64_t m = 8, n = 5, k = 7;
    bool ta = false, tb = false;
    float beta = 0;
    cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    std::int32_t batches = 1;
};

double gelu(double x) {
    return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}
double gelu_slope(double x) { return (gelu(x + 1e-5) - gelu(x - 1e-5)) / 2e-5; }

template <class T>
std::vector<T> random_values(std::int64_t n, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    std::normal_distribution<float> normal;
    std::vector<T> values;
    for (std::int64_t i = 0; i < n; ++i) values.push_back(T(normal(random)));
    return values;
}

// One call of the vendor's functions, as a caller makes it.
template <class T>
class Multiply {
public:
    explicit Multiply(const MatmulCase& c, cublasComputeType_t compute = CUBLAS_COMPUTE_32F)
        : c_(c) {
        const cudaDataType_t type = std::is_same_v<T, Bf16> ? CUDA_R_16BF : CUDA_R_32F;
        EXPECT_EQ(cublasLtCreate(&handle_), CUBLAS_STATUS_SUCCESS);
        cublasLtMatmulDescCreate(&desc_, compute, CUDA_R_32F);
        set(CUBLASLT_MATMUL_DESC_TRANSA, c.ta ? CUBLAS_OP_T : CUBLAS_OP_N);
        set(CUBLASLT_MATMUL_DESC_TRANSB, c.tb ? CUBLAS_OP_T : CUBLAS_OP_N);
        set(CUBLASLT_MATMUL_DESC_EPILOGUE, c.epilogue);
        a_ = layout(type, c.ta ? c.k : c.m, c.ta ? c.m : c.k);
        b_ = layout(type, c.tb ? c.n : c.k, c.tb ? c.k : c.n);
        d_ = layout(type, c.m, c.n);
        cublasLtMatmulPreferenceCreate(&preference_);
        const std::uint64_t bytes = 1 << 20;
        cublasLtMatmulPreferenceSetAttribute(preference_, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                             &bytes, sizeof bytes);
    }
    ~Multiply() {
        for (auto* layout : {a_, b_, d_}) cublasLtMatrixLayoutDestroy(layout);
        cublasLtMatmulPreferenceDestroy(preference_);
        cublasLtMatmulDescDestroy(desc_);
        cublasLtDestroy(handle_);
    }
    Multiply(const Multiply&) = delete;
    Multiply& operator=(const Multiply&) = delete;

    template <class V>
    void set(cublasLtMatmulDescAttributes_t attribute, V value) {
        EXPECT_EQ(cublasLtMatmulDescSetAttribute(desc_, attribute, &value, sizeof value),
                  CUBLAS_STATUS_SUCCESS);
    }
    cublasStatus_t choose() {
        int found = 0;
        const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
            handle_, desc_, a_, b_, d_, d_, preference_, 1, &result_, &found);
        EXPECT_EQ(found, status == CUBLAS_STATUS_SUCCESS ? 1 : 0);
        return status;
    }
    cublasStatus_t run(const T* a, const T* b, const T* c, T* d, cudaError_t end = cudaSuccess) {
        const float one = 1.0f;
        OnDevice<char> workspace(std::vector<char>(result_.workspaceSize));
        const cublasStatus_t status =
            cublasLtMatmul(handle_, desc_, &one, a, a_, b, b_, &c_.beta, c, d_, d, d_,
                           &result_.algo, workspace.data(), result_.workspaceSize, nullptr);
        EXPECT_EQ(cudaDeviceSynchronize(), end);
        return status;
    }

private:
    cublasLtMatrixLayout_t layout(cudaDataType_t type, std::int64_t rows, std::int64_t cols) {
        cublasLtMatrixLayout_t made = nullptr;
        cublasLtMatrixLayoutCreate(&made, type, static_cast<std::uint64_t>(rows),
                                   static_cast<std::uint64_t>(cols), rows);
        const std::int64_t stride = rows * cols;
        cublasLtMatrixLayoutSetAttribute(made, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &c_.batches,
                                         sizeof c_.batches);
        cublasLtMatrixLayoutSetAttribute(made, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride,
                                         sizeof stride);
        return made;
    }

    MatmulCase c_;
    cublasLtHandle_t handle_ = nullptr;
    cublasLtMatmulDesc_t desc_ = nullptr;
    cublasLtMatrixLayout_t a_ = nullptr, b_ = nullptr, d_ = nullptr;
    cublasLtMatmulPreference_t preference_ = nullptr;
    cublasLtMatmulHeuristicResult_t result_{};
};

struct Expected {
    std::vector<double> d, bias, aux;
};

// Column-major, one batch after another, by the definition.
template <class T>
Expected expected(const MatmulCase& c, const std::vector<T>& a, const std::vector<T>& b,
                  const std::vector<T>& old, const std::vector<T>& bias,
                  const std::vector<T>& aux) {
    const auto A = [&](std::int64_t batch, std::int64_t i, std::int64_t k) {
        return double(a[std::size_t(batch * c.m * c.k + (c.ta ? k + i * c.k : i + k * c.m))]);
    };
    const auto B = [&](std::int64_t batch, std::int64_t k, std::int64_t j) {
        return double(b[std::size_t(batch * c.n * c.k + (c.tb ? j + k * c.n : k + j * c.k))]);
    };
    const bool gradient_of_b = c.epilogue == CUBLASLT_EPILOGUE_BGRADB;
    Expected e;
    e.aux.assign(aux.begin(), aux.end());
    e.bias.assign(std::size_t(gradient_of_b ? c.n : c.m), 0.0);
    for (std::int64_t batch = 0; batch < c.batches; ++batch) {
        for (std::int64_t j = 0; j < c.n; ++j) {
            for (std::int64_t i = 0; i < c.m; ++i) {
                const auto at = std::size_t(batch * c.m * c.n + j * c.m + i);
                double x = 0;
                for (std::int64_t k = 0; k < c.k; ++k) {
                    x += A(batch, i, k) * B(batch, k, j);
                    if (c.epilogue == CUBLASLT_EPILOGUE_BGRADA && j == 0)
                        e.bias[std::size_t(i)] += A(batch, i, k);
                    if (gradient_of_b && i == 0) e.bias[std::size_t(j)] += B(batch, k, j);
                }
                x += c.beta * double(old[at]);
                if (c.epilogue & 4) x += double(bias[std::size_t(i)]);
                if (c.epilogue & 2) x = std::max(x, 0.0);
                if ((c.epilogue & 160) == 160) e.aux[at] = x;
                if (c.epilogue & 32) x = gelu(x);
                if (c.epilogue & 64) x *= gelu_slope(double(aux[at]));
                if (c.epilogue & 16) e.bias[std::size_t(i)] += x;
                e.d.push_back(x);
            }
        }
    }
    return e;
}

template <class T>
void expect_near(const std::vector<T>& got, const std::vector<double>& want, double tolerance) {
    double error = 0, norm = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
        error += std::pow(double(got[i]) - want[i], 2);
        norm += want[i] * want[i];
    }
    EXPECT_LE(std::sqrt(error), tolerance * std::sqrt(norm));
}

// fp32: rounding of a few sums; bf16: one rounding of 2⁻⁹ where a value is stored.
template <class T>
void compare(const MatmulCase& c, double tolerance,
             cublasComputeType_t compute = CUBLAS_COMPUTE_32F) {
    SCOPED_TRACE(testing::Message() << "epilogue " << c.epilogue << " ta " << c.ta << " tb " << c.tb
                                    << " batches " << c.batches);
    const auto a = random_values<T>(c.batches * c.m * c.k, 1);
    const auto b = random_values<T>(c.batches * c.n * c.k, 2);
    const auto old = random_values<T>(c.batches * c.m * c.n, 3);
    const auto bias = random_values<T>(std::max(c.m, c.n), 4);
    const auto aux = random_values<T>(c.m * c.n, 5);
    OnDevice<T> da(a), db(b), dc(old), dd(std::vector<T>(old.size(), T(NAN))), dbias(bias),
        daux(aux);
    Multiply<T> multiply(c, compute);
    multiply.set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, dbias.data());
    if (c.epilogue & 128) {
        multiply.set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, daux.data());
        multiply.set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, c.m);
    }
    ASSERT_EQ(multiply.choose(), CUBLAS_STATUS_SUCCESS);
    ASSERT_EQ(multiply.run(da.data(), db.data(), dc.data(), dd.data()), CUBLAS_STATUS_SUCCESS);
    const Expected want = expected(c, a, b, old, bias, aux);
    expect_near(dd.values(), want.d, tolerance);
    expect_near(daux.values(), want.aux, tolerance);
    const bool gradient = (c.epilogue & (16 | 256 | 512)) != 0;
    if (gradient) {
        auto got = dbias.values();
        got.resize(want.bias.size());
        expect_near(got, want.bias, tolerance);
    }
}

class HostDeviceMatmul : public shardscope::test::HostDeviceTest {};

TEST_F(HostDeviceMatmul, AllTransposesBatchesAndEpilogues) {
    for (int transposes = 0; transposes < 4; ++transposes) {
        MatmulCase c;
        c.ta = (transposes & 1) != 0;
        c.tb = (transposes & 2) != 0;
        c.beta = 0.5f;
        c.batches = 3;
        compare<float>(c, 1e-6);
        compare<Bf16>(c, 4e-3);
        c.batches = 1;
        for (const auto epilogue :
             {CUBLASLT_EPILOGUE_RELU, CUBLASLT_EPILOGUE_BIAS, CUBLASLT_EPILOGUE_RELU_BIAS,
              CUBLASLT_EPILOGUE_GELU, CUBLASLT_EPILOGUE_GELU_BIAS, CUBLASLT_EPILOGUE_GELU_AUX,
              CUBLASLT_EPILOGUE_GELU_AUX_BIAS, CUBLASLT_EPILOGUE_DGELU,
              CUBLASLT_EPILOGUE_DGELU_BGRAD, CUBLASLT_EPILOGUE_BGRADA, CUBLASLT_EPILOGUE_BGRADB}) {
            c.epilogue = epilogue;
            compare<float>(c, 1e-6);
            compare<Bf16>(c, 4e-3);
        }
    }
}

// TF32 keeps ten bits of the factors: 2⁻¹¹ each, and visibly so.
TEST_F(HostDeviceMatmul, Tf32RoundsItsFactors) {
    compare<float>({.m = 16, .n = 16, .k = 64}, 1e-3, CUBLAS_COMPUTE_32F_FAST_TF32);
    OnDevice<float> a({1.0f + 0x1p-12f}), b({1.0f}), d({0.0f});
    Multiply<float> multiply({.m = 1, .n = 1, .k = 1}, CUBLAS_COMPUTE_32F_FAST_TF32);
    ASSERT_EQ(multiply.choose(), CUBLAS_STATUS_SUCCESS);
    multiply.run(a.data(), b.data(), d.data(), d.data());
    EXPECT_EQ(d.values()[0], 1.0f);
}

TEST_F(HostDeviceMatmul, RefusesWhatCublasLtRefuses) {
    OnDevice<float> x(std::vector<float>(256));
    const auto choose = [&](std::int64_t m, std::int64_t ld, float* aux, float* bias) {
        Multiply<float> multiply({.m = m, .epilogue = CUBLASLT_EPILOGUE_GELU_AUX_BIAS});
        multiply.set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
        multiply.set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, aux);
        multiply.set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, ld);
        return multiply.choose();
    };
    float* at = x.data();
    EXPECT_EQ(choose(8, 8, at, at), CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(choose(6, 6, at, at), CUBLAS_STATUS_NOT_SUPPORTED) << "ld no multiple of 8";
    EXPECT_EQ(choose(16, 8, at, at), CUBLAS_STATUS_NOT_SUPPORTED) << "ld below the rows";
    EXPECT_EQ(choose(8, 8, at + 1, at), CUBLAS_STATUS_NOT_SUPPORTED) << "aux not aligned";
    EXPECT_EQ(choose(8, 8, at, at + 1), CUBLAS_STATUS_NOT_SUPPORTED) << "bias not aligned";
    EXPECT_EQ(choose(8, 8, at, nullptr), CUBLAS_STATUS_NOT_SUPPORTED) << "no bias";

    Multiply<float> multiply({.m = 8});
    ASSERT_EQ(multiply.choose(), CUBLAS_STATUS_SUCCESS);
    multiply.set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_GELU);
    EXPECT_EQ(multiply.run(at, at, at, at), CUBLAS_STATUS_NOT_SUPPORTED)
        << "an algorithm of another problem";
}

TEST_F(HostDeviceMatmul, OperandsOutsideOfMemoryAreFound) {
    OnDevice<float> a(std::vector<float>(8 * 7)), b(std::vector<float>(7 * 5 - 1)),
        d(std::vector<float>(8 * 5));
    Multiply<float> multiply({});
    ASSERT_EQ(multiply.choose(), CUBLAS_STATUS_SUCCESS);
    multiply.run(a.data(), b.data(), d.data(), d.data(), cudaErrorIllegalAddress);
    EXPECT_EQ(host_device::problems().at(0), "cublasLtMatmul: operand B lies in no allocation");
}

}  // namespace
