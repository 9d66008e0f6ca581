#include "backends/cuda/matmul/cublaslt_matmul.h"

#include <algorithm>
#include <cstdint>

#include "core/error.h"

namespace shardscope::cuda {
namespace {

cudaDataType_t cublas_type(DType dtype) { return dtype == DType::bf16 ? CUDA_R_16BF : CUDA_R_32F; }

cublasLtEpilogue_t epilogue_of(MatmulEpilogue epilogue) {
    switch (epilogue) {
        case MatmulEpilogue::none:
            return CUBLASLT_EPILOGUE_DEFAULT;
        case MatmulEpilogue::bias:
            return CUBLASLT_EPILOGUE_BIAS;
        case MatmulEpilogue::relu:
            return CUBLASLT_EPILOGUE_RELU;
        case MatmulEpilogue::relu_bias:
            return CUBLASLT_EPILOGUE_RELU_BIAS;
        case MatmulEpilogue::gelu:
            return CUBLASLT_EPILOGUE_GELU;
        case MatmulEpilogue::gelu_bias:
            return CUBLASLT_EPILOGUE_GELU_BIAS;
        case MatmulEpilogue::gelu_aux:
            return CUBLASLT_EPILOGUE_GELU_AUX;
        case MatmulEpilogue::gelu_aux_bias:
            return CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
        case MatmulEpilogue::dgelu:
            return CUBLASLT_EPILOGUE_DGELU;
        case MatmulEpilogue::bgradb:
            return CUBLASLT_EPILOGUE_BGRADB;
    }
    return CUBLASLT_EPILOGUE_DEFAULT;
}

template <class Handle, class Create, class... Arguments>
CublasLtOwner<Handle> make(const char* name, Create create, Arguments... arguments) {
    Handle handle = nullptr;
    check(create(&handle, arguments...), name);
    return CublasLtOwner<Handle>(handle);
}

CublasLtOwner<cublasLtMatrixLayout_t> layout(DType dtype, std::int64_t rows, std::int64_t columns,
                                             std::int64_t ld) {
    return make<cublasLtMatrixLayout_t>("cublasLtMatrixLayoutCreate", cublasLtMatrixLayoutCreate,
                                        cublas_type(dtype), static_cast<std::uint64_t>(rows),
                                        static_cast<std::uint64_t>(columns), ld);
}

template <class Value>
void set(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute, Value value) {
    check(cublasLtMatmulDescSetAttribute(desc, attribute, &value, sizeof value),
          "cublasLtMatmulDescSetAttribute");
}
template <class Value>
void set(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t attribute,
         Value value) {
    check(cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value),
          "cublasLtMatmulPreferenceSetAttribute");
}

CublasLtOwner<cublasLtMatmulDesc_t> describe(const MatmulCall& call) {
    auto desc = make<cublasLtMatmulDesc_t>(
        "cublasLtMatmulDescCreate", cublasLtMatmulDescCreate,
        call.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F);
    set(desc.get(), CUBLASLT_MATMUL_DESC_TRANSA, call.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(desc.get(), CUBLASLT_MATMUL_DESC_TRANSB, call.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(desc.get(), CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue_of(call.epilogue));
    if (call.aux_ld > 0) set(desc.get(), CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, call.aux_ld);
    return desc;
}

std::uint32_t alignment_of(const void* address) {
    constexpr std::uintptr_t kMost = 16;  // no kernel moves more at once
    const auto value = reinterpret_cast<std::uintptr_t>(address) | kMost;
    return static_cast<std::uint32_t>(value & (~value + 1));  // its lowest bit
}

}  // namespace

void check(cublasStatus_t status, const char* call) {
    if (status == CUBLAS_STATUS_SUCCESS) return;
    throw Error("cuda", std::string(call) + ": " + cublasLtGetStatusString(status),
                "see whether cuBLAS fits the driver; shardscope devices lists both",
                ErrorKind::run_failed);
}

MatmulAlignment alignment_of(const MatmulAddresses& at) {
    return {alignment_of(at.a), alignment_of(at.b), alignment_of(at.c), alignment_of(at.d)};
}

CublasLtMatmul::CublasLtMatmul(cublasLtHandle_t handle, const MatmulCall& call,
                               const MatmulAddresses& addresses, std::int64_t workspace, int most)
    : handle_(handle),
      call_(call),
      desc_(describe(call)),
      a_(layout(call.input, call.transpose_a ? call.k : call.m, call.transpose_a ? call.m : call.k,
                call.lda)),
      b_(layout(call.input, call.transpose_b ? call.n : call.k, call.transpose_b ? call.k : call.n,
                call.ldb)),
      d_(layout(call.output, call.m, call.n, call.ldd)) {
    // The heuristic refuses an epilogue whose addresses it does not know.
    set_epilogue_addresses(addresses);
    const MatmulAlignment alignment = alignment_of(addresses);
    const auto preference = make<cublasLtMatmulPreference_t>("cublasLtMatmulPreferenceCreate",
                                                             cublasLtMatmulPreferenceCreate);
    set(preference.get(), CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
        static_cast<std::uint64_t>(workspace));
    set(preference.get(), CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment[0]);
    set(preference.get(), CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment[1]);
    set(preference.get(), CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment[2]);
    set(preference.get(), CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment[3]);
    candidates_.resize(static_cast<std::size_t>(most));
    int found = 0;
    const cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(handle_, desc_.get(), a_.get(), b_.get(), d_.get(), d_.get(),
                                       preference.get(), most, candidates_.data(), &found);
    // "Not supported" is an answer: no candidate.
    if (status != CUBLAS_STATUS_NOT_SUPPORTED) check(status, "cublasLtMatmulAlgoGetHeuristic");
    candidates_.resize(status == CUBLAS_STATUS_SUCCESS ? static_cast<std::size_t>(found) : 0);
    std::erase_if(candidates_, [](const cublasLtMatmulHeuristicResult_t& candidate) {
        return candidate.state != CUBLAS_STATUS_SUCCESS;
    });
}

void CublasLtMatmul::set_epilogue_addresses(const MatmulAddresses& at) {
    if (at.bias) set(desc_.get(), CUBLASLT_MATMUL_DESC_BIAS_POINTER, at.bias);
    if (at.aux) set(desc_.get(), CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, at.aux);
}

void CublasLtMatmul::start(int index, const MatmulAddresses& at, const LaunchContext& context) {
    set_epilogue_addresses(at);
    const float alpha = 1.0f;
    const auto& candidate = candidates_.at(static_cast<std::size_t>(index));
    check(cublasLtMatmul(handle_, desc_.get(), &alpha, at.a, a_.get(), at.b, b_.get(), &call_.beta,
                         at.c, d_.get(), at.d, d_.get(), &candidate.algo, context.scratch,
                         static_cast<std::size_t>(context.scratch_bytes), context.stream),
          "cublasLtMatmul");
}

}  // namespace shardscope::cuda
