// D = epilogue(alpha · op(A)·op(B) + beta · C) by plain loops, in cuBLASLt's terms.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tests/host_device/include/cublasLt.h"

namespace host_device {

// Column-major; strides of leading dimension and batch in elements.
struct MatrixShape {
    cudaDataType_t type = CUDA_R_32F;
    std::int64_t rows = 0, cols = 0, ld = 0;
    std::int64_t batch_stride = 0;
    std::size_t element() const { return type == CUDA_R_16BF ? 2 : 4; }
    // From the first element to the end of the last one.
    std::size_t bytes(std::int64_t batches) const;
};

struct MatmulProblem {
    MatrixShape a, b, c, d;
    std::int64_t batches = 1;
    bool transpose_a = false, transpose_b = false, tf32 = false;
    cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    cudaDataType_t bias_type = CUDA_R_32F, aux_type = CUDA_R_32F;
    std::int64_t bias_stride = 0, aux_ld = 0, aux_stride = 0;  // strides between batches

    std::int64_t m() const { return d.rows; }
    std::int64_t n() const { return d.cols; }
    std::int64_t k() const { return transpose_a ? a.rows : a.cols; }
    bool uses_bias() const;
    bool uses_aux() const { return (epilogue & 128) != 0; }
    // A bias gradient has one value per column of D in one epilogue, else per row.
    std::int64_t bias_length() const { return epilogue == CUBLASLT_EPILOGUE_BGRADB ? n() : m(); }
};

struct MatmulPointers {
    const std::byte *a = nullptr, *b = nullptr, *c = nullptr;
    std::byte *d = nullptr, *bias = nullptr, *aux = nullptr;
};

// Why cuBLASLt would not take the problem with operands like these; nullptr: it would.
const char* why_unsupported(const MatmulProblem& problem, const MatmulPointers& at);

void multiply(const MatmulProblem& problem, float alpha, float beta, const MatmulPointers& at);

}  // namespace host_device
