// Stands in for cudnn_attention.cpp where the cudnn-frontend headers were not found.
#include "backends/cuda/attention/attention.h"
#include "backends/cuda/attention/cudnn_attention.h"
#include "core/error.h"

namespace shardscope::cuda {
namespace {

[[noreturn]] void refuse() {
    throw Error("cudnn", why_no_cudnn(), "use our own attention kernels", ErrorKind::run_failed);
}

}  // namespace

std::string why_no_cudnn() {
    return "cuDNN's attention is not built in, because the cudnn-frontend headers were not found "
           "when this "
           "was configured (pip install nvidia-cudnn-frontend, or -DCUDNN_FRONTEND_ROOT=…)";
}

struct CudnnAttention::State {};

CudnnAttention::CudnnAttention(bool) { refuse(); }
CudnnAttention::~CudnnAttention() = default;
std::int64_t CudnnAttention::prepare(const Attention&) { refuse(); }
std::int64_t CudnnAttention::prepare(const AttentionGrad&) { refuse(); }
void CudnnAttention::run(const Attention&, const Addresses&, std::byte*, const LaunchContext&) {
    refuse();
}
void CudnnAttention::run(const AttentionGrad&, const Addresses&, std::byte*, const LaunchContext&) {
    refuse();
}

}  // namespace shardscope::cuda
