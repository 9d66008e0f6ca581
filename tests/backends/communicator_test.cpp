// Collectives among threads: what they compute, that they agree bit for bit, and that nobody hangs.
#include <bit>
#include <chrono>
#include <cmath>
#include <cstring>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends/cpu/thread_communicator.h"
#include "tests/support/thread_ranks.h"

namespace shardscope {
namespace {

using test::on_ranks;
using testing::HasSubstr;

template <class T>
constexpr DType kDType = DType::fp32;
template <>
constexpr DType kDType<double> = DType::fp64;
template <>
constexpr DType kDType<std::int32_t> = DType::int32;
template <>
constexpr DType kDType<std::uint16_t> = DType::bf16;

template <class T>
std::byte* bytes(std::vector<T>& v) {
    return reinterpret_cast<std::byte*>(v.data());
}

// A buffer per rank with values whose sum depends on the order of addition.
template <class T>
std::vector<std::vector<T>> random_buffers(int ranks, std::int64_t elements) {
    std::mt19937 random(7);
    std::vector<std::vector<T>> buffers(static_cast<std::size_t>(ranks));
    for (auto& buffer : buffers)
        for (std::int64_t i = 0; i < elements; ++i) {
            const double unit = static_cast<double>(random()) / 4294967296.0 - 0.5;
            if constexpr (std::is_same_v<T, std::uint16_t>)
                buffer.push_back(
                    static_cast<T>(std::bit_cast<std::uint32_t>(static_cast<float>(unit)) >> 16));
            else
                buffer.push_back(static_cast<T>(unit * (std::is_integral_v<T> ? 1e6 : 1.0)));
        }
    return buffers;
}

// The contract: element by element, in rank order.
template <class T>
std::vector<T> sum_of(const std::vector<std::vector<T>>& buffers) {
    std::vector<T> sum = buffers[0];
    for (std::size_t r = 1; r < buffers.size(); ++r)
        for (std::size_t i = 0; i < sum.size(); ++i) sum[i] = sum[i] + buffers[r][i];
    return sum;
}

template <class T>
class Sums : public testing::Test {};
using SumTypes = testing::Types<float, double, std::int32_t>;
TYPED_TEST_SUITE(Sums, SumTypes);

TYPED_TEST(Sums, AllReduceAddsInRankOrderOnEveryRank) {
    for (const int ranks : {1, 2, 3, 4, 8})
        for (const std::int64_t elements : {0, 1, 7, 16, 1000, 5003}) {
            auto buffers = random_buffers<TypeParam>(ranks, elements);
            const auto expected = sum_of(buffers);
            const auto members = make_thread_communicators(ranks);
            on_ranks(ranks, [&](int r) {
                members[r]->all_reduce(bytes(buffers[r]), elements, kDType<TypeParam>);
            });
            for (const auto& buffer : buffers) EXPECT_EQ(buffer, expected) << ranks << " ranks";
        }
}

TYPED_TEST(Sums, ReduceScatterGivesTheBitsOfAllReduce) {
    for (const int ranks : {1, 2, 3, 4, 8})
        for (const std::int64_t shard : {0, 1, 16, 1303}) {
            const auto original = random_buffers<TypeParam>(ranks, shard * ranks);
            const auto expected = sum_of(original);
            for (const bool in_place : {false, true}) {
                auto sends = original;
                std::vector<std::vector<TypeParam>> received(ranks, std::vector<TypeParam>(shard));
                const auto members = make_thread_communicators(ranks);
                on_ranks(ranks, [&](int r) {
                    TypeParam* own = sends[r].data() + r * shard;
                    TypeParam* recv = in_place ? own : received[r].data();
                    members[r]->reduce_scatter(bytes(sends[r]), reinterpret_cast<std::byte*>(recv),
                                               shard, kDType<TypeParam>);
                    if (in_place) std::copy_n(own, shard, received[r].begin());
                });
                for (int r = 0; r < ranks; ++r)
                    EXPECT_TRUE(std::equal(received[r].begin(), received[r].end(),
                                           expected.begin() + r * shard))
                        << ranks << " ranks, in place " << in_place;
            }
        }
}

TYPED_TEST(Sums, AllGatherConcatenatesInRankOrder) {
    for (const int ranks : {1, 2, 3, 4, 8})
        for (const std::int64_t shard : {0, 1, 16, 1303}) {
            auto sends = random_buffers<TypeParam>(ranks, shard);
            std::vector<TypeParam> expected;
            for (const auto& s : sends) expected.insert(expected.end(), s.begin(), s.end());
            for (const bool in_place : {false, true}) {
                std::vector<std::vector<TypeParam>> received(ranks,
                                                             std::vector<TypeParam>(shard * ranks));
                const auto members = make_thread_communicators(ranks);
                on_ranks(ranks, [&](int r) {
                    TypeParam* own = received[r].data() + r * shard;
                    if (in_place) std::copy_n(sends[r].begin(), shard, own);
                    const TypeParam* send = in_place ? own : sends[r].data();
                    members[r]->all_gather(reinterpret_cast<const std::byte*>(send),
                                           bytes(received[r]), shard, kDType<TypeParam>);
                });
                for (const auto& r : received) EXPECT_EQ(r, expected) << ranks << " ranks";
            }
        }
}

TEST(ThreadCommunicator, Bf16IsSummedInFp32AndRoundedOnce) {
    const auto bf16 = [](float x) {
        return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(x) >> 16);
    };
    // In bf16 (8 bits of precision) 256 + 1 is 256 again, so only an fp32 sum sees the small ones.
    std::vector<std::vector<std::uint16_t>> buffers;
    for (const float x : {256.0f, 1.0f, 1.0f, 1.0f, -256.0f}) buffers.push_back({bf16(x)});
    const auto members = make_thread_communicators(5);
    on_ranks(5, [&](int r) { members[r]->all_reduce(bytes(buffers[r]), 1, DType::bf16); });
    for (const auto& buffer : buffers) EXPECT_EQ(buffer[0], bf16(3.0f));
}

TEST(ThreadCommunicator, Bf16RoundsToNearestEven) {
    // 1 + 2⁻⁸ lies half way between 1 and its successor, 1 + 3·2⁻⁸ half way to an even one.
    for (const auto& [a, b, expected] :
         {std::tuple{0x3F80, 0x3B80, 0x3F80}, std::tuple{0x3F81, 0x3B80, 0x3F82}}) {
        std::vector<std::uint16_t> x{static_cast<std::uint16_t>(a)};
        std::vector<std::uint16_t> y{static_cast<std::uint16_t>(b)};
        const auto members = make_thread_communicators(2);
        on_ranks(2, [&](int r) { members[r]->all_reduce(bytes(r == 0 ? x : y), 1, DType::bf16); });
        EXPECT_EQ(x[0], expected);
        EXPECT_EQ(y[0], expected);
    }
}

// Many calls in a row: no member may run ahead into the next call's buffers.
TEST(ThreadCommunicator, CallsInARowDoNotMix) {
    constexpr int kRanks = 4, kRounds = 300;
    const auto members = make_thread_communicators(kRanks);
    std::atomic<int> wrong = 0;
    on_ranks(kRanks, [&](int r) {
        std::vector<std::int32_t> buffer(kRanks * 16), shard(16);
        for (int round = 0; round < kRounds; ++round) {
            buffer.assign(buffer.size(), round + r);
            members[r]->all_reduce(bytes(buffer), std::ssize(buffer), DType::int32);
            const int sum = kRanks * round + kRanks * (kRanks - 1) / 2;
            for (const int x : buffer) wrong += x != sum;
            members[r]->reduce_scatter(bytes(buffer), bytes(shard), 16, DType::int32);
            for (const int x : shard) wrong += x != kRanks * sum;
            members[r]->barrier();
            shard.assign(16, r);
            members[r]->all_gather(bytes(shard), bytes(buffer), 16, DType::int32);
            for (std::size_t i = 0; i < buffer.size(); ++i) wrong += buffer[i] != int(i) / 16;
        }
    });
    EXPECT_EQ(wrong, 0);
}

TEST(ThreadCommunicator, AbortWakesEveryWaitingMember) {
    const auto members = make_thread_communicators(5);
    const auto errors = on_ranks(5, [&](int r) {
        if (r == 3) {
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
            members[r]->abort();
            members[r]->abort();
        } else {
            members[r]->barrier();
        }
    });
    for (int r = 0; r < 5; ++r) {
        ASSERT_EQ(errors[r].has_value(), r != 3) << r;
        if (errors[r]) {
            EXPECT_EQ(errors[r]->rule, "communication-aborted");
        }
    }
    EXPECT_THROW(members[3]->barrier(), Error);  // and later calls fail at once
}

TEST(ThreadCommunicator, MismatchIsReportedOnEveryMember) {
    const auto members = make_thread_communicators(3);
    std::vector<std::vector<float>> buffers(3, std::vector<float>(12));
    const auto errors = on_ranks(3, [&](int r) {
        if (r == 2)
            members[r]->all_reduce(bytes(buffers[r]), 11, DType::fp32);
        else
            members[r]->all_reduce(bytes(buffers[r]), 12, DType::fp32);
    });
    for (const auto& error : errors) {
        ASSERT_TRUE(error);
        EXPECT_EQ(error->rule, "collective-mismatch");
        EXPECT_EQ(error->kind, ErrorKind::run_failed);
        EXPECT_THAT(error->message, HasSubstr("member 2 called all_reduce of 11 fp32 elements"));
        EXPECT_THAT(error->message, HasSubstr("member 0 called all_reduce of 12 fp32 elements"));
    }
}

TEST(ThreadCommunicator, DifferentOperationsAreAMismatch) {
    const auto members = make_thread_communicators(2);
    std::vector<std::vector<float>> buffers(2, std::vector<float>(8));
    const auto errors = on_ranks(2, [&](int r) {
        if (r == 0)
            members[r]->all_gather(bytes(buffers[r]), bytes(buffers[r]), 4, DType::fp32);
        else
            members[r]->barrier();
    });
    for (const auto& error : errors) {
        ASSERT_TRUE(error);
        EXPECT_THAT(error->message, HasSubstr("member 1 called barrier"));
    }
}

TYPED_TEST(Sums, AllReduceOfTheLargestOnEveryRank) {
    for (const int ranks : {1, 2, 3, 8}) {
        auto buffers = random_buffers<TypeParam>(ranks, 5003);
        auto expected = buffers[0];
        for (const auto& buffer : buffers)
            for (std::size_t i = 0; i < expected.size(); ++i)
                expected[i] = std::max(expected[i], buffer[i]);
        const auto members = make_thread_communicators(ranks);
        on_ranks(ranks, [&](int r) {
            members[r]->all_reduce(bytes(buffers[r]), 5003, kDType<TypeParam>, ReduceOp::maximum);
        });
        for (const auto& buffer : buffers) EXPECT_EQ(buffer, expected) << ranks << " ranks";
    }
}

TEST(ThreadCommunicator, TheLargestOfBf16AndOfNaN) {
    std::vector<std::vector<std::uint16_t>> half{{0x3F80, 0xBF80}, {0x4000, 0xC000}};  // ±1, ±2
    std::vector<std::vector<float>> nan{{1, std::nanf("")}, {std::nanf(""), 1}};
    const auto members = make_thread_communicators(2);
    on_ranks(2, [&](int r) {
        members[r]->all_reduce(bytes(half[r]), 2, DType::bf16, ReduceOp::maximum);
        members[r]->all_reduce(bytes(nan[r]), 2, DType::fp32, ReduceOp::maximum);
    });
    for (const auto& x : half) EXPECT_THAT(x, testing::ElementsAre(0x4000, 0xBF80));
    for (const auto& x : nan) EXPECT_THAT(x, testing::Each(testing::IsNan()));
}

TEST(ThreadCommunicator, SumAndMaximumAreAMismatch) {
    const auto members = make_thread_communicators(2);
    std::vector<std::vector<float>> buffers(2, std::vector<float>(8));
    const auto errors = on_ranks(2, [&](int r) {
        members[r]->all_reduce(bytes(buffers[r]), 8, DType::fp32,
                               r == 0 ? ReduceOp::sum : ReduceOp::maximum);
    });
    for (const auto& error : errors) {
        ASSERT_TRUE(error);
        EXPECT_THAT(error->message, HasSubstr("all_reduce (maximum) of 8"));
    }
}

}  // namespace
}  // namespace shardscope
