#include "backends/cpu/kernels/gemm_bf16.h"

#include <array>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <dnnl.hpp>

#include "core/error.h"

namespace shardscope::cpu {
namespace {

using dnnl::memory;

struct Shape {
    std::int64_t m, n, k, a_stride, b_stride, c_stride;
    bool a_transposed, b_transposed, accumulate;
    auto operator<=>(const Shape&) const = default;
};

memory::desc stored(std::int64_t rows, std::int64_t columns, std::int64_t stride, bool transposed,
                    memory::data_type type) {
    const memory::dims strides = transposed ? memory::dims{1, stride} : memory::dims{stride, 1};
    return {memory::dims{rows, columns}, type, strides};
}

// One multiply, ready to be called with addresses.
struct Prepared {
    dnnl::matmul::primitive_desc description;
    dnnl::matmul primitive;

    static dnnl::matmul::primitive_desc describe(const Shape& s, const dnnl::engine& engine) {
        dnnl::primitive_attr attributes;
        attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
        if (s.accumulate) {
            dnnl::post_ops add;
            add.append_sum();
            attributes.set_post_ops(add);
        }
        const dnnl::matmul::desc multiply(
            stored(s.m, s.k, s.a_stride, s.a_transposed, memory::data_type::bf16),
            stored(s.k, s.n, s.b_stride, s.b_transposed, memory::data_type::bf16),
            stored(s.m, s.n, s.c_stride, false, memory::data_type::f32));
        return {multiply, attributes, engine};
    }

    Prepared(const Shape& s, const dnnl::engine& engine)
        : description(describe(s, engine)), primitive(description) {}
};

// What one thread keeps between calls. A training step multiplies a few dozen shapes; when more come,
// the oldest go all at once.
class Multiplier {
public:
    void run(const Shape& shape, const void* a, const void* b, float* c) {
        auto found = prepared_.find(shape);
        if (found == prepared_.end()) {
            constexpr std::size_t kMost = 128;
            if (prepared_.size() >= kMost) prepared_.clear();
            found = prepared_.try_emplace(shape, shape, engine_).first;
        }
        const auto& d = found->second.description;
        const std::size_t scratch = d.scratchpad_desc().get_size();
        if (scratch > scratch_.size()) scratch_.resize(scratch);
        const auto at = [this](const memory::desc& desc, const void* address) {
            return memory(desc, engine_,
                          const_cast<void*>(address));  // NOLINT: inputs are read only
        };
        found->second.primitive.execute(
            stream_, {{DNNL_ARG_SRC, at(d.src_desc(), a)},
                      {DNNL_ARG_WEIGHTS, at(d.weights_desc(), b)},
                      {DNNL_ARG_DST, at(d.dst_desc(), c)},
                      {DNNL_ARG_SCRATCHPAD, at(d.scratchpad_desc(), scratch_.data())}});
    }

private:
    dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
    dnnl::stream stream_{engine_};
    std::map<Shape, Prepared> prepared_;
    std::vector<std::byte> scratch_;
};

}  // namespace

bool multiplies_bf16() {
    switch (dnnl_get_effective_cpu_isa()) {
        case dnnl_cpu_isa_avx512_core_bf16:
        case dnnl_cpu_isa_avx512_core_amx:
            return true;
        default:
            return false;
    }
}

void gemm_bf16(std::int64_t m, std::int64_t n, std::int64_t k, Matrix<Bf16> a, Matrix<Bf16> b,
               bool accumulate, float* c, std::int64_t c_stride) {
    thread_local Multiplier multiplier;
    try {
        multiplier.run(
            {m, n, k, a.stride, b.stride, c_stride, a.transposed, b.transposed, accumulate}, a.data,
            b.data, c);
    } catch (const dnnl::error& e) {
        throw Error("matrix-multiply",
                    "oneDNN's bf16 multiply failed (" + std::string(e.what()) + ") for m " +
                        std::to_string(m) + ", n " + std::to_string(n) + ", k " + std::to_string(k),
                    "check free memory: the library allocates packing buffers",
                    ErrorKind::run_failed);
    }
}

}  // namespace shardscope::cpu
