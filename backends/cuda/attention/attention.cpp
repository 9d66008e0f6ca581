#include "backends/cuda/attention/attention.h"

#include <algorithm>
#include <stdexcept>

#include "backends/cuda/attention/cudnn_attention.h"
#include "backends/cuda/attention/own_attention.h"
#include "core/error.h"

namespace shardscope::cuda {
namespace {

template <class T>
T* as(std::byte* address) {
    return reinterpret_cast<T*>(address);
}

bool aligned(std::initializer_list<const std::byte*> addresses) {
    return std::all_of(addresses.begin(), addresses.end(), [](const std::byte* address) {
        return reinterpret_cast<std::uintptr_t>(address) % 16 == 0;
    });
}

bool on_tensor_cores(AttentionTiles tiles) {
    return tiles == AttentionTiles::tensor64 || tiles == AttentionTiles::tensor128;
}

void run_own(const Attention& k, DType dtype, const Addresses& at, const LaunchContext& context) {
    const AttentionTiles tiles = tiles_for(k, dtype, aligned({at[0], at[1]}));
    if (on_tensor_cores(tiles))
        tensor_forward(k, tiles, as<const Bf16>(at[0]), as<Bf16>(at[1]), as<float>(at[2]), context);
    else if (dtype == DType::bf16)
        plain_forward(k, tiles, as<const Bf16>(at[0]), as<Bf16>(at[1]), at[2], context);
    else
        plain_forward(k, tiles, as<const float>(at[0]), as<float>(at[1]), at[2], context);
}

void run_own(const AttentionGrad& k, DType dtype, const Addresses& at,
             const LaunchContext& context) {
    const AttentionTiles tiles = tiles_for(k, dtype, aligned({at[0], at[1], at[2], at[4]}));
    if (on_tensor_cores(tiles))
        tensor_backward(k, tiles, as<const Bf16>(at[0]), as<const Bf16>(at[1]),
                        as<const Bf16>(at[2]), as<const float>(at[3]), as<Bf16>(at[4]), context);
    else if (dtype == DType::bf16)
        plain_backward(k, tiles, as<const Bf16>(at[0]), as<const Bf16>(at[1]),
                       as<const Bf16>(at[2]), at[3], as<Bf16>(at[4]), context);
    else
        plain_backward(k, tiles, as<const float>(at[0]), as<const float>(at[1]),
                       as<const float>(at[2]), at[3], as<float>(at[4]), context);
}

void expect_stored(DType dtype) {
    if (dtype != DType::fp32 && dtype != DType::bf16)
        throw std::logic_error("the cuda backend's attention is stored in fp32 or bf16");
}

}  // namespace

struct Attentions::State {
    std::unique_ptr<CudnnAttention> cudnn;  // null: our own kernels
    std::byte* workspace = nullptr;

    // The unfused kind is always ours; of flash, cuDNN takes all or says why not.
    template <class Kernel>
    bool uses_cudnn(const Kernel& kernel, DType dtype) const {
        expect_stored(dtype);
        if (!cudnn || kernel.kind == AttentionKind::unfused) return false;
        if (dtype != DType::bf16)
            throw Error("cudnn", "cuDNN's attention works on bf16 alone, and this run stores fp32",
                        "use our own attention kernels, or train in bf16");
        if (kernel.head_dim % 8 != 0 || kernel.head_dim > 128)
            throw Error(
                "cudnn",
                "cuDNN's attention wants heads of a multiple of 8 and at most 128 elements, "
                "and these have " +
                    std::to_string(kernel.head_dim),
                "use our own attention kernels");
        return true;
    }
    template <class Kernel>
    std::int64_t prepare(const Kernel& kernel, DType dtype) {
        if (uses_cudnn(kernel, dtype)) return cudnn->prepare(kernel);
        tiles_for(kernel, dtype, true);  // they name what they do not take
        packed_heads(kernel);
        return 0;
    }
    template <class Kernel>
    void run(const Kernel& kernel, DType dtype, const Addresses& at, const LaunchContext& context) {
        if (uses_cudnn(kernel, dtype))
            cudnn->run(kernel, at, workspace, context);
        else
            run_own(kernel, dtype, at, context);
    }
};

Attentions::Attentions(AttentionLibrary library, bool deterministic)
    : state_(std::make_unique<State>()) {
    if (library == AttentionLibrary::cudnn)
        state_->cudnn = std::make_unique<CudnnAttention>(deterministic);
}
Attentions::~Attentions() = default;

std::int64_t Attentions::prepare(const Attention& kernel, DType dtype) {
    return state_->prepare(kernel, dtype);
}
std::int64_t Attentions::prepare(const AttentionGrad& kernel, DType dtype) {
    return state_->prepare(kernel, dtype);
}
void Attentions::set_workspace(std::byte* workspace) { state_->workspace = workspace; }

void Attentions::run(const Attention& kernel, DType dtype, const Addresses& operands,
                     const LaunchContext& context) {
    state_->run(kernel, dtype, operands, context);
}
void Attentions::run(const AttentionGrad& kernel, DType dtype, const Addresses& operands,
                     const LaunchContext& context) {
    state_->run(kernel, dtype, operands, context);
}

}  // namespace shardscope::cuda
