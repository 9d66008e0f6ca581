#include "backends/cuda/attention/cudnn_attention.h"

#include <array>
#include <cmath>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include <dlfcn.h>

// Defined by the target that finds the headers: NV_CUDNN_FRONTEND_USE_DYNAMIC_LOADING.
#include <cudnn_frontend.h>

#include "backends/cuda/attention/attention.h"
#include "core/error.h"

// The frontend declares this handle of the library and leaves it to its user to define and to open; it is the
// one variable of ours outside a class.
namespace cudnn_frontend {
void* cudnn_dlhandle = nullptr;
}

namespace shardscope::cuda {
namespace {

namespace fe = cudnn_frontend;

constexpr const char* kLibrary = "libcudnn.so.9";
constexpr std::size_t kOldestVersion = 90000;  // 9.0.0, the first with all that is asked for below

[[noreturn]] void refuse(const std::string& message) {
    throw Error("cudnn", message, "use our own attention kernels", ErrorKind::run_failed);
}
void expect(fe::error_t error, const std::string& what) {
    if (error.is_bad()) refuse(what + " fails: " + error.get_message());
}
void expect(cudnnStatus_t status, const std::string& what) {
    if (status != CUDNN_STATUS_SUCCESS)
        refuse(what + " fails: " + fe::detail::get_error_string(status));
}

template <class Kernel>
std::string text_of(const Kernel& k, const char* pass) {
    return std::string("cuDNN's attention ") + pass + " of " + std::to_string(k.samples) +
           " samples, " + std::to_string(k.heads) + " heads (" + std::to_string(k.kv_heads) +
           " of keys) of " + std::to_string(k.head_dim) + " elements, sequence " +
           std::to_string(k.seq);
}

// Names of tensors in both graphs.
enum Tensor : std::int64_t { kQ = 1, kK, kV, kY, kStats, kDy, kDq, kDk, kDv };

using Dims = std::vector<std::int64_t>;
using TensorPointer = std::shared_ptr<fe::graph::Tensor_attributes>;
using Graph = fe::graph::Graph;

struct Plan {
    std::shared_ptr<Graph> graph;
    std::int64_t workspace = 0;
};

// A shape: everything but the pass.
using Key = std::tuple<std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t>;
template <class Kernel>
Key key_of(const Kernel& k) {
    return {k.samples, k.seq, k.heads, k.kv_heads, k.head_dim};
}

// [samples, heads, seq, head_dim] within rows of `row` elements.
template <class Kernel>
struct Views {
    const Kernel& k;
    std::int64_t qkv_row() const { return (k.heads + 2 * k.kv_heads) * k.head_dim; }
    std::int64_t y_row() const { return k.heads * k.head_dim; }
    Dims dims(std::int64_t heads) const { return {k.samples, heads, k.seq, k.head_dim}; }
    Dims strides(std::int64_t row) const { return {k.seq * row, k.head_dim, row, 1}; }

    TensorPointer input(Graph& graph, const char* name, Tensor uid, std::int64_t heads,
                        std::int64_t row) const {
        return graph.tensor(fe::graph::Tensor_attributes()
                                .set_name(name)
                                .set_uid(uid)
                                .set_dim(dims(heads))
                                .set_stride(strides(row)));
    }
    void output(const TensorPointer& tensor, Tensor uid, std::int64_t heads,
                std::int64_t row) const {
        tensor->set_output(true).set_uid(uid).set_dim(dims(heads)).set_stride(strides(row));
    }
    // Log-sum-exp, fp32 [samples, heads, seq, 1].
    void stats(fe::graph::Tensor_attributes& tensor) const {
        tensor.set_uid(kStats)
            .set_data_type(fe::DataType_t::FLOAT)
            .set_dim({k.samples, k.heads, k.seq, 1})
            .set_stride({k.heads * k.seq, k.seq, 1, 1});
    }
    float scale() const {
        return static_cast<float>(1.0 / std::sqrt(static_cast<double>(k.head_dim)));
    }
};

std::shared_ptr<Graph> new_graph() {
    auto graph = std::make_shared<Graph>();
    graph->set_io_data_type(fe::DataType_t::BFLOAT16)
        .set_intermediate_data_type(fe::DataType_t::FLOAT)
        .set_compute_data_type(fe::DataType_t::FLOAT);
    return graph;
}

std::shared_ptr<Graph> graph_of(const Attention& k, bool) {
    const Views<Attention> views{k};
    auto graph = new_graph();
    const auto q = views.input(*graph, "q", kQ, k.heads, views.qkv_row());
    const auto keys = views.input(*graph, "k", kK, k.kv_heads, views.qkv_row());
    const auto values = views.input(*graph, "v", kV, k.kv_heads, views.qkv_row());
    const auto [y, stats] = graph->sdpa(q, keys, values,
                                        fe::graph::SDPA_attributes()
                                            .set_name("attention")
                                            .set_generate_stats(true)
                                            .set_causal_mask(true)
                                            .set_attn_scale(views.scale()));
    views.output(y, kY, k.heads, views.y_row());
    stats->set_output(true);
    views.stats(*stats);
    return graph;
}

std::shared_ptr<Graph> graph_of(const AttentionGrad& k, bool deterministic) {
    const Views<AttentionGrad> views{k};
    auto graph = new_graph();
    const auto q = views.input(*graph, "q", kQ, k.heads, views.qkv_row());
    const auto keys = views.input(*graph, "k", kK, k.kv_heads, views.qkv_row());
    const auto values = views.input(*graph, "v", kV, k.kv_heads, views.qkv_row());
    const auto y = views.input(*graph, "y", kY, k.heads, views.y_row());
    const auto dy = views.input(*graph, "dy", kDy, k.heads, views.y_row());
    auto stats_attributes = fe::graph::Tensor_attributes().set_name("stats");
    views.stats(stats_attributes);
    const auto stats = graph->tensor(stats_attributes);
    const auto [dq, dk, dv] = graph->sdpa_backward(q, keys, values, y, dy, stats,
                                                   fe::graph::SDPA_backward_attributes()
                                                       .set_name("attention_grad")
                                                       .set_causal_mask(true)
                                                       .set_attn_scale(views.scale())
                                                       .set_deterministic_algorithm(deterministic));
    views.output(dq, kDq, k.heads, views.qkv_row());
    views.output(dk, kDk, k.kv_heads, views.qkv_row());
    views.output(dv, kDv, k.kv_heads, views.qkv_row());
    return graph;
}

// Addresses of the three parts of packed rows.
template <class Kernel>
std::array<void*, 3> parts(const Kernel& k, std::byte* packed) {
    constexpr std::int64_t kSize = 2;
    return {packed, packed + k.heads * k.head_dim * kSize,
            packed + (k.heads + k.kv_heads) * k.head_dim * kSize};
}

// Opens the library; returns why that is not possible.
std::string open_library() {
    if (fe::cudnn_dlhandle) return "";
    fe::cudnn_dlhandle = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
    if (fe::cudnn_dlhandle) return "";
    const char* why = dlerror();
    return std::string("cuDNN cannot be loaded: ") + (why ? why : kLibrary);
}

}  // namespace

std::string why_no_cudnn() {
    if (std::string why = open_library(); !why.empty()) return why;
    const std::size_t version = fe::detail::get_backend_version();
    if (version >= kOldestVersion) return "";
    return "cuDNN " + fe::detail::convert_version_to_str(version) + " is installed; " +
           fe::detail::convert_version_to_str(kOldestVersion) + " or newer is needed";
}

struct CudnnAttention::State {
    bool deterministic = true;
    cudnnHandle_t handle = nullptr;
    std::map<Key, Plan> forward, backward;

    template <class Kernel>
    const Plan& plan(std::map<Key, Plan>& plans, const Kernel& kernel, const char* pass) {
        const auto found = plans.find(key_of(kernel));
        if (found != plans.end()) return found->second;
        Plan plan;
        plan.graph = graph_of(kernel, deterministic);
        const std::string what = text_of(kernel, pass);
        expect(plan.graph->validate(), what);
        expect(plan.graph->build_operation_graph(handle), what);
        expect(plan.graph->create_execution_plans({fe::HeurMode_t::A}), what);
        expect(plan.graph->check_support(), what);
        expect(plan.graph->build_plans(), what);
        expect(plan.graph->get_workspace_size(plan.workspace), what);
        return plans.emplace(key_of(kernel), std::move(plan)).first->second;
    }

    void execute(const Plan& plan, std::unordered_map<std::int64_t, void*> tensors,
                 std::byte* workspace, const LaunchContext& context, const std::string& what) {
        if (plan.workspace > 0 && !workspace)
            throw std::logic_error("cuDNN's attention was started without its workspace");
        expect(fe::detail::set_stream(handle, context.stream), what);
        expect(plan.graph->execute(handle, tensors, workspace), what);
    }
};

CudnnAttention::CudnnAttention(bool deterministic) : state_(std::make_unique<State>()) {
    if (const std::string why = why_no_cudnn(); !why.empty()) refuse(why);
    state_->deterministic = deterministic;
    expect(fe::detail::create_handle(&state_->handle), "cudnnCreate");
}

CudnnAttention::~CudnnAttention() {
    state_->forward.clear();
    state_->backward.clear();
    if (state_->handle) fe::detail::destroy_handle(state_->handle);
}

std::int64_t CudnnAttention::prepare(const Attention& k) {
    return state_->plan(state_->forward, k, "forward").workspace;
}
std::int64_t CudnnAttention::prepare(const AttentionGrad& k) {
    return state_->plan(state_->backward, k, "backward").workspace;
}

void CudnnAttention::run(const Attention& k, const Addresses& at, std::byte* workspace,
                         const LaunchContext& context) {
    const Plan& plan = state_->plan(state_->forward, k, "forward");
    const auto [q, keys, values] = parts(k, at[0]);
    state_->execute(plan, {{kQ, q}, {kK, keys}, {kV, values}, {kY, at[1]}, {kStats, at[2]}},
                    workspace, context, text_of(k, "forward"));
}

void CudnnAttention::run(const AttentionGrad& k, const Addresses& at, std::byte* workspace,
                         const LaunchContext& context) {
    const Plan& plan = state_->plan(state_->backward, k, "backward");
    const auto [q, keys, values] = parts(k, at[1]);
    const auto [dq, dk, dv] = parts(k, at[4]);
    state_->execute(plan,
                    {{kDy, at[0]},
                     {kQ, q},
                     {kK, keys},
                     {kV, values},
                     {kY, at[2]},
                     {kStats, at[3]},
                     {kDq, dq},
                     {kDk, dk},
                     {kDv, dv}},
                    workspace, context, text_of(k, "backward"));
}

}  // namespace shardscope::cuda
