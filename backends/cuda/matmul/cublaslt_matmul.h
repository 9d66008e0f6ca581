// A MatmulCall as cuBLASLt takes it: descriptors, the candidates of its heuristic, and the start.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include <cublasLt.h>

#include "backends/cuda/kernels/launch.h"
#include "backends/cuda/matmul/matmul_call.h"

namespace shardscope::cuda {

// Throws Error{run_failed, "cuda"} unless the call succeeded.
void check(cublasStatus_t status, const char* call);

struct DestroyCublasLt {
    void operator()(cublasLtHandle_t handle) const { cublasLtDestroy(handle); }
    void operator()(cublasLtMatmulDesc_t desc) const { cublasLtMatmulDescDestroy(desc); }
    void operator()(cublasLtMatrixLayout_t layout) const { cublasLtMatrixLayoutDestroy(layout); }
    void operator()(cublasLtMatmulPreference_t p) const { cublasLtMatmulPreferenceDestroy(p); }
};
template <class Handle>
using CublasLtOwner = std::unique_ptr<std::remove_pointer_t<Handle>, DestroyCublasLt>;

// Addresses of one multiply, device memory; bias and aux as the call's epilogue wants them, else null.
struct MatmulAddresses {
    const void *a = nullptr, *b = nullptr, *c = nullptr;
    void *d = nullptr, *bias = nullptr, *aux = nullptr;
};
// The largest power of two up to 256 that divides the addresses of a, b, c and d, bytes.
using MatmulAlignment = std::array<std::uint32_t, 4>;
MatmulAlignment alignment_of(const MatmulAddresses& addresses);

// One call's descriptors and the candidates for it, best first by cuBLASLt's own estimate.
class CublasLtMatmul {
public:
    // Asks the heuristic for at most `most` candidates that want no more than `workspace` bytes and take
    // addresses aligned as these. Throws Error{run_failed, "cuda"}.
    CublasLtMatmul(cublasLtHandle_t handle, const MatmulCall& call,
                   const MatmulAddresses& addresses, std::int64_t workspace, int most);

    int candidates() const { return static_cast<int>(candidates_.size()); }

    // Starts candidate `index` on the context's stream, with its scratch as workspace.
    void start(int index, const MatmulAddresses& addresses, const LaunchContext& context);

private:
    void set_epilogue_addresses(const MatmulAddresses& addresses);

    cublasLtHandle_t handle_;
    MatmulCall call_;
    CublasLtOwner<cublasLtMatmulDesc_t> desc_;
    CublasLtOwner<cublasLtMatrixLayout_t> a_, b_, d_;
    std::vector<cublasLtMatmulHeuristicResult_t> candidates_;
};

}  // namespace shardscope::cuda
