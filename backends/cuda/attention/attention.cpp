#include "backends/cuda/attention/attention.h"

#include <algorithm>
#include <map>
#include <stdexcept>
#include <tuple>
#include <type_traits>

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

template <class Kernel>
std::string text_of(const Kernel& k, DType dtype) {
    return std::string(kernel_name(k)) + ", " + std::string(name_of(dtype)) + ", " +
           std::to_string(k.samples) + " samples of " + std::to_string(k.seq) + ", " +
           std::to_string(k.heads) + " heads of " + std::to_string(k.head_dim);
}

}  // namespace

struct Attentions::State {
    struct Choice {
        std::int64_t workspace = 0;
        bool cudnn = false;
        std::string text;
    };
    // Backward, storage, kind, samples, seq, heads, kv_heads, head_dim.
    using Key = std::tuple<bool, DType, AttentionKind, std::int64_t, std::int64_t, std::int64_t,
                           std::int64_t, std::int64_t>;

    AttentionLibrary library = AttentionLibrary::own;
    std::unique_ptr<CudnnAttention> cudnn;  // null: it is not wanted, or cannot be used
    std::string why_no_library;
    std::byte* workspace = nullptr;
    std::map<Key, Choice> choices;

    // Why a kernel is not cuDNN's, as far as its shape tells; empty: it may be.
    template <class Kernel>
    std::string why_ours(const Kernel& kernel, DType dtype) const {
        if (library == AttentionLibrary::own) return "asked for";
        if (kernel.kind == AttentionKind::unfused) return "the unfused kind is always ours";
        if (!why_no_library.empty()) return why_no_library;
        if (dtype != DType::bf16)
            return "cuDNN's attention works on bf16 alone, and this is " +
                   std::string(name_of(dtype));
        if (kernel.head_dim % 8 != 0 || kernel.head_dim > 128)
            return "cuDNN's attention wants heads of a multiple of 8 and at most 128 elements, and "
                   "these have " +
                   std::to_string(kernel.head_dim);
        return "";
    }

    template <class Kernel>
    Choice choose(const Kernel& kernel, DType dtype) {
        expect_stored(dtype);
        const bool must = library == AttentionLibrary::cudnn && kernel.kind == AttentionKind::flash;
        std::string why = why_ours(kernel, dtype);
        if (must && !why.empty())
            throw Error("cudnn", why, "use our own attention kernels (attention: own)");
        Choice choice;
        if (why.empty()) try {
                choice.workspace = cudnn->prepare(kernel);
                choice.cudnn = true;
                choice.text = text_of(kernel, dtype) + ": cuDNN";
                return choice;
            } catch (const Error& error) {
                if (must) throw;
                why = error.message;
            }
        tiles_for(kernel, dtype, true);  // they name what they do not take
        packed_heads(kernel);
        choice.text = text_of(kernel, dtype) + ": our own (" + why + ")";
        return choice;
    }

    template <class Kernel>
    const Choice& choice_of(const Kernel& kernel, DType dtype) {
        const Key key{std::is_same_v<Kernel, AttentionGrad>,
                      dtype,
                      kernel.kind,
                      kernel.samples,
                      kernel.seq,
                      kernel.heads,
                      kernel.kv_heads,
                      kernel.head_dim};
        const auto found = choices.find(key);
        if (found != choices.end()) return found->second;
        return choices.emplace(key, choose(kernel, dtype)).first->second;
    }

    template <class Kernel>
    void run(const Kernel& kernel, DType dtype, const Addresses& at, const LaunchContext& context) {
        if (choice_of(kernel, dtype).cudnn)
            cudnn->run(kernel, at, workspace, context);
        else
            run_own(kernel, dtype, at, context);
    }
};

Attentions::Attentions(AttentionLibrary library, bool deterministic)
    : state_(std::make_unique<State>()) {
    state_->library = library;
    if (library == AttentionLibrary::own) return;
    if (library == AttentionLibrary::best) state_->why_no_library = why_no_cudnn();
    if (state_->why_no_library.empty())
        state_->cudnn = std::make_unique<CudnnAttention>(deterministic);
}
Attentions::~Attentions() = default;

std::int64_t Attentions::prepare(const Attention& kernel, DType dtype) {
    return state_->choice_of(kernel, dtype).workspace;
}
std::int64_t Attentions::prepare(const AttentionGrad& kernel, DType dtype) {
    return state_->choice_of(kernel, dtype).workspace;
}
std::vector<std::string> Attentions::choices() const {
    std::vector<std::string> lines;
    for (const auto& [key, choice] : state_->choices) lines.push_back(choice.text);
    return lines;
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
