// The matrix multiply itself, and what dispatch refuses.
#include "backends/cpu/kernels/gemm.h"

#include <barrier>
#include <cmath>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <string>
#include <thread>

#include "backends/cpu/kernels/dispatch.h"
#include "core/error.h"
#include "tests/backends/kernels/kernel_call.h"

namespace shardscope::test {
namespace {

using std::int64_t;

template <class T>
std::vector<T> stored(const Values& values) {
    return {values.begin(), values.end()};
}

// Operands as windows of wider matrices, so that strides matter.
template <class T>
void compare(Random& random, int64_t m, int64_t n, int64_t k, bool ta, bool tb, T beta) {
    const int64_t lda = (ta ? m : k) + 3, ldb = (tb ? k : n) + 1, ldc = n + 2;
    const auto a = stored<T>(random.normal((ta ? k : m) * lda));
    const auto b = stored<T>(random.normal((tb ? n : k) * ldb));
    auto c = stored<T>(random.normal(m * ldc));
    Values want(c.begin(), c.end());
    const auto at = [](bool transposed, int64_t stride, int64_t r, int64_t col) {
        return static_cast<std::size_t>(transposed ? col * stride + r : r * stride + col);
    };
    for (int64_t i = 0; i < m; ++i)
        for (int64_t j = 0; j < n; ++j) {
            double sum = 0;
            for (int64_t l = 0; l < k; ++l)
                sum += static_cast<double>(a[at(ta, lda, i, l)]) *
                       static_cast<double>(b[at(tb, ldb, l, j)]);
            double& out = want[at(false, ldc, i, j)];
            out = 0.5 * sum + static_cast<double>(beta) * out;
            if (beta == T(0)) c[at(false, ldc, i, j)] = static_cast<T>(std::nan(""));
        }
    cpu::gemm<T>(m, n, k, T(0.5), {a.data(), lda, ta}, {b.data(), ldb, tb}, beta, c.data(), ldc);
    EXPECT_TRUE(close(Values(c.begin(), c.end()), want, sizeof(T) == 8 ? 1e-13 : 3e-6))
        << m << "×" << n << "×" << k << (ta ? " aᵀ" : "") << (tb ? " bᵀ" : "");
}

TEST(Gemm, MatchesATripleLoopInEveryForm) {
    cpu::use_one_thread();
    Random random;
    SCOPED_TRACE(random.trace());
    const int64_t shapes[][3] = {{1, 1, 1}, {1, 9, 33}, {40, 1, 7}, {65, 70, 300}, {33, 128, 16}};
    for (const auto& s : shapes)
        for (const bool ta : {false, true})
            for (const bool tb : {false, true}) {
                compare<float>(random, s[0], s[1], s[2], ta, tb, 0.0f);
                compare<float>(random, s[0], s[1], s[2], ta, tb, 2.0f);
                compare<double>(random, s[0], s[1], s[2], ta, tb, 0.0);
                compare<double>(random, s[0], s[1], s[2], ta, tb, 2.0);
            }
}

// Ranks hold equal tensors at different offsets of their arenas and must get equal bits.
TEST(Gemm, BitsDoNotDependOnAlignment) {
    cpu::use_one_thread();
    Random random;
    SCOPED_TRACE(random.trace());
    const int64_t m = 67, n = 93, k = 301;
    const auto a = stored<float>(random.normal(m * k)), b = stored<float>(random.normal(k * n));
    std::vector<float> first(static_cast<std::size_t>(m * n));
    cpu::gemm<float>(m, n, k, 1, {a.data(), k}, {b.data(), n}, 0, first.data(), n);
    for (const std::size_t shift : {1u, 4u, 7u, 16u}) {
        std::vector<float> a2(shift + a.size()), b2(2 * shift + b.size()),
            c(3 * shift + first.size());
        std::copy(a.begin(), a.end(), a2.begin() + static_cast<std::ptrdiff_t>(shift));
        std::copy(b.begin(), b.end(), b2.begin() + static_cast<std::ptrdiff_t>(2 * shift));
        cpu::gemm<float>(m, n, k, 1, {a2.data() + shift, k}, {b2.data() + 2 * shift, n}, 0,
                         c.data() + 3 * shift, n);
        EXPECT_EQ(std::memcmp(c.data() + 3 * shift, first.data(), first.size() * sizeof(float)), 0);
    }
}

// Threads of this process, from /proc.
int threads() {
    std::ifstream status("/proc/self/status");
    for (std::string word; status >> word;)
        if (word == "Threads:") {
            int count = 0;
            status >> count;
            return count;
        }
    return -1;
}

TEST(Gemm, RanksMultiplyOnTheirOwnThread) {
    Random random;
    SCOPED_TRACE(random.trace());
    const int64_t n = 300;
    const auto a = stored<float>(random.normal(n * n)), b = stored<float>(random.normal(n * n));
    std::vector<std::vector<float>> c(3, std::vector<float>(a.size()));
    std::vector<int> seen(c.size());
    std::vector<std::thread> ranks;
    std::barrier all(static_cast<std::ptrdiff_t>(c.size()));
    const int before = threads();
    for (std::size_t rank = 0; rank < c.size(); ++rank)
        ranks.emplace_back([&, rank] {
            cpu::use_one_thread();
            cpu::gemm<float>(n, n, n, 1, {a.data(), n}, {b.data(), n}, 0, c[rank].data(), n);
            all.arrive_and_wait();
            seen[rank] = threads();
            all.arrive_and_wait();
        });
    for (std::thread& rank : ranks) rank.join();
    EXPECT_EQ(seen, std::vector<int>(c.size(), before + static_cast<int>(c.size())));
    EXPECT_EQ(c[1], c[0]);
    EXPECT_EQ(c[2], c[0]);
}

TEST(Gemm, EmptyShapes) {
    std::vector<float> c{3, 4};
    cpu::gemm<float>(0, 5, 5, 1, {}, {}, 0, nullptr, 5);
    cpu::gemm<float>(1, 2, 0, 1, {}, {}, 2, c.data(), 2);
    EXPECT_EQ(c, (std::vector<float>{6, 8}));
}

TEST(Dispatch, RefusesWhatTheCpuDoesNotRun) {
    cpu::Team team;
    Compute add;
    add.kernel = Add{1};
    add.dtype = DType::fp32;
    add.gradient = DType::bf16;
    try {
        cpu::execute(add, {}, {}, team);
        FAIL() << "gradients in bf16 ran";
    } catch (const Error& e) {
        EXPECT_EQ(e.rule, "unsupported");
        EXPECT_EQ(e.message, "the cpu backend does not run fp32 with gradients in bf16");
    }
    add.dtype = add.gradient = DType::int32;
    EXPECT_THROW(cpu::execute(add, {}, {}, team), Error);
    Compute load;
    load.kernel = LoadBatch{};
    EXPECT_THROW(cpu::execute(load, {}, {}, team), std::logic_error);
    Compute attention;
    attention.kernel = Attention{1, 4, 1, 1, 4};
    EXPECT_THROW(cpu::execute(attention, {}, {}, team), std::logic_error);
}

}  // namespace
}  // namespace shardscope::test
