// Our attention kernels on the host device against the CPU's in fp64: storage, kind, head groups, head sizes
// of every set of tiles, sequences that are no multiple of a tile, and the same bits in any order of blocks.
#include "backends/cuda/attention/attention.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends/cuda/attention/geometry.h"
#include "core/error.h"
#include "tests/cuda/device_call.h"
#include "tests/host_device/control.h"

namespace shardscope::test {
namespace {

using cuda::AttentionLibrary;
using cuda::Attentions;
using std::int64_t;

struct AttentionCase {
    Attention kernel;
    DType dtype;
    int shift = 0;

    AttentionGrad grad() const {
        return {kernel.samples,  kernel.seq,      kernel.heads,
                kernel.kv_heads, kernel.head_dim, kernel.kind};
    }
    int64_t qkv_elements() const {
        return kernel.samples * kernel.seq * (kernel.heads + 2 * kernel.kv_heads) * kernel.head_dim;
    }
    int64_t y_elements() const {
        return kernel.samples * kernel.seq * kernel.heads * kernel.head_dim;
    }
    DeviceStorage storage() const { return {dtype, dtype, shift}; }
};

std::string name_of_case(const ::testing::TestParamInfo<AttentionCase>& info) {
    const Attention& k = info.param.kernel;
    return std::string(name_of(info.param.dtype)) +
           (k.kind == AttentionKind::flash ? "_flash" : "_unfused") + "_samples" +
           std::to_string(k.samples) + "_seq" + std::to_string(k.seq) + "_heads" +
           std::to_string(k.heads) + "of" + std::to_string(k.kv_heads) + "_dim" +
           std::to_string(k.head_dim) + (info.param.shift ? "_shifted" : "");
}

template <class Kernel>
Tensor cpu_workspace(const Kernel& k) {
    const int64_t n = attention_workspace_elements(k);
    return n == 0 ? absent() : space(n);
}

std::vector<Values> forward(const AttentionCase& c, const Values& qkv) {
    return device_call(
        c.kernel, c.storage(),
        {tensor(qkv), space(c.y_elements()), space(attention_stats_elements(c.kernel)), absent()},
        [&](const Addresses& at, const cuda::LaunchContext& context) {
            Attentions(AttentionLibrary::own).run(c.kernel, c.dtype, at, context);
        });
}
Values backward(const AttentionCase& c, const Values& dy, const Values& qkv, const Values& y,
                const Values& stats) {
    return device_call(
        c.grad(), c.storage(),
        {tensor(dy), tensor(qkv), tensor(y), tensor(stats), space(c.qkv_elements()), absent()},
        [&](const Addresses& at, const cuda::LaunchContext& context) {
            Attentions(AttentionLibrary::own).run(c.grad(), c.dtype, at, context);
        })[4];
}

// A single score may be near zero and is yet rounded as the sum of products of size one that it is.
Values beside_one(Values stats) {
    stats.push_back(1);
    return stats;
}

class CudaAttention : public ::testing::TestWithParam<AttentionCase> {
protected:
    void SetUp() override { host_device::reset(); }
    void TearDown() override { host_device::reset(); }
};

TEST_P(CudaAttention, AgreesWithTheCpuInFp64) {
    const AttentionCase& c = GetParam();
    Random random;
    SCOPED_TRACE(random.trace());
    const Values qkv = stored_as(c.dtype, random.normal(c.qkv_elements()));
    const Values dy = stored_as(c.dtype, random.normal(c.y_elements()));
    const auto want = call(c.kernel, DType::fp64,
                           {tensor(qkv), space(c.y_elements()),
                            space(attention_stats_elements(c.kernel)), cpu_workspace(c.kernel)});
    const Values want_dqkv = call(c.grad(), DType::fp64,
                                  {tensor(dy), tensor(qkv), tensor(want[1]), tensor(want[2]),
                                   space(c.qkv_elements()), cpu_workspace(c.grad())})[4];

    const auto got = forward(c, qkv);
    EXPECT_TRUE(close_in_norm(got[1], want[1], norm_tolerance(c.dtype))) << "y";
    // Log-sum-exp is never rounded to bf16.
    const double of_stats = c.kernel.kind == AttentionKind::flash ? 1e-5 : norm_tolerance(c.dtype);
    EXPECT_TRUE(close_in_norm(beside_one(got[2]), beside_one(want[2]), of_stats)) << "stats";
    const Values dqkv = backward(c, dy, qkv, got[1], got[2]);
    EXPECT_TRUE(close_in_norm(dqkv, want_dqkv, norm_tolerance(c.dtype))) << "dqkv";
}

AttentionCase flash(DType dtype, Attention k, int shift = 0) { return {k, dtype, shift}; }
AttentionCase unfused(DType dtype, Attention k) {
    k.kind = AttentionKind::unfused;
    return {k, dtype};
}

INSTANTIATE_TEST_SUITE_P(
    TensorTiles, CudaAttention,
    ::testing::Values(flash(DType::bf16, {1, 1, 1, 1, 64}), flash(DType::bf16, {2, 67, 2, 1, 64}),
                      flash(DType::bf16, {1, 130, 3, 3, 64}), flash(DType::bf16, {1, 64, 4, 2, 16}),
                      flash(DType::bf16, {1, 200, 1, 1, 40}), flash(DType::bf16, {1, 1, 2, 1, 128}),
                      flash(DType::bf16, {2, 70, 2, 1, 128}),
                      flash(DType::bf16, {1, 129, 1, 1, 96})),
    name_of_case);
INSTANTIATE_TEST_SUITE_P(
    PlainTiles, CudaAttention,
    ::testing::Values(
        flash(DType::fp32, {1, 1, 1, 1, 1}), flash(DType::fp32, {2, 33, 2, 1, 5}),
        flash(DType::fp32, {1, 65, 2, 2, 64}), flash(DType::fp32, {1, 40, 2, 1, 128}),
        flash(DType::fp32, {1, 20, 1, 1, 256}), flash(DType::bf16, {1, 20, 2, 1, 160}),
        flash(DType::bf16, {1, 33, 2, 2, 7}), flash(DType::bf16, {1, 33, 2, 1, 64}, 3),
        unfused(DType::fp32, {1, 65, 2, 1, 16}), unfused(DType::fp32, {2, 1, 1, 1, 4}),
        unfused(DType::bf16, {2, 40, 4, 2, 64}), unfused(DType::bf16, {1, 18, 1, 1, 200})),
    name_of_case);

// Blocks and threads run in another order with every seed; the bits do not follow them.
TEST(CudaAttentionOrder, DoesNotChangeTheBits) {
    const AttentionCase c = flash(DType::bf16, {1, 100, 2, 1, 64});
    Random random;
    SCOPED_TRACE(random.trace());
    const Values qkv = stored_as(c.dtype, random.normal(c.qkv_elements()));
    const Values dy = stored_as(c.dtype, random.normal(c.y_elements()));
    std::vector<Values> first;
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
        host_device::Settings settings;
        settings.seed = seed;
        host_device::reset(settings);
        const auto y = forward(c, qkv);
        const std::vector<Values> got{y[1], y[2], backward(c, dy, qkv, y[1], y[2])};
        if (seed == 1) first = got;
        EXPECT_EQ(got, first) << "order " << seed;
    }
    host_device::reset();
}

// The comparison above can fail: keys one position too late are seen as an error.
TEST(CudaAttentionOrder, AWrongResultIsFound) {
    const AttentionCase c = flash(DType::fp32, {1, 34, 1, 1, 8});
    Random random;
    SCOPED_TRACE(random.trace());
    const Values qkv = stored_as(c.dtype, random.normal(c.qkv_elements()));
    Values shifted(qkv.begin() + 3 * 8, qkv.end());
    shifted.insert(shifted.end(), qkv.begin(), qkv.begin() + 3 * 8);
    host_device::reset();
    EXPECT_FALSE(close_in_norm(forward(c, qkv)[1], forward(c, shifted)[1], 1e-2));
}

TEST(CudaAttentionErrors, NameWhatIsNotTaken) {
    Attentions own(AttentionLibrary::own);
    EXPECT_THROW(own.prepare(Attention{1, 8, 1, 1, 264}, DType::bf16), Error);
    EXPECT_THROW(own.prepare(Attention{1 << 20, 1 << 20, 1 << 10, 1 << 10, 64}, DType::bf16),
                 Error);
    EXPECT_EQ(own.prepare(Attention{1, 8, 1, 1, 64}, DType::bf16), 0);
}

// Without cuDNN's headers, as here, `best` is our own kernels and says why; `cudnn` is an error.
TEST(CudaAttentionErrors, CudnnIsNeverReplacedSilently) {
    Attentions best(AttentionLibrary::best);
    EXPECT_EQ(best.prepare(AttentionGrad{1, 8, 1, 1, 64}, DType::bf16), 0);
    EXPECT_THAT(best.choices(),
                ::testing::ElementsAre(::testing::AllOf(
                    ::testing::HasSubstr("attention_grad, bf16, 1 samples of 8, 1 heads of 64"),
                    ::testing::HasSubstr("our own (cuDNN's attention is not built in"))));
    try {
        Attentions cudnn(AttentionLibrary::cudnn);
        ADD_FAILURE() << "no error";
    } catch (const Error& error) {
        EXPECT_EQ(error.kind, ErrorKind::run_failed);
        EXPECT_THAT(error.message, ::testing::HasSubstr("pip install nvidia-cudnn-frontend"));
    }
}

}  // namespace
}  // namespace shardscope::test
