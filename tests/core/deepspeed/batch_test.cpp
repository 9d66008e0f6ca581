// DeepSpeed's batch triad against an independent restatement of its rules.
#include "core/deepspeed/batch.h"

#include <random>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"

namespace shardscope {
namespace {

using testing::HasSubstr;
using Number = std::optional<std::int64_t>;

std::string fault_of(const BatchTriad& given, std::int64_t ranks) {
    try {
        resolve_batch(given, ranks);
    } catch (const Error& e) {
        EXPECT_EQ(e.rule, "batch");
        EXPECT_FALSE(e.fix.empty());
        return e.message;
    }
    return "";
}

void expect_batch(const BatchTriad& given, std::int64_t ranks, std::int64_t train,
                  std::int64_t micro, std::int64_t accumulation) {
    const ResolvedBatch batch = resolve_batch(given, ranks);
    EXPECT_EQ(batch.train, train) << batch.inference;
    EXPECT_EQ(batch.micro, micro) << batch.inference;
    EXPECT_EQ(batch.accumulation, accumulation) << batch.inference;
}

TEST(BatchTriad, EveryRowOfTheTable) {
    expect_batch({64, 4, 2}, 8, 64, 4, 2);
    expect_batch({64, 4, {}}, 8, 64, 4, 2);
    expect_batch({64, {}, 2}, 8, 64, 4, 2);
    expect_batch({{}, 4, 2}, 8, 64, 4, 2);
    expect_batch({64, {}, {}}, 8, 64, 8, 1);
    expect_batch({{}, 4, {}}, 8, 32, 4, 1);
    const char* missing =
        "Either train_batch_size or train_micro_batch_size_per_gpu needs to be provided";
    EXPECT_EQ(fault_of({{}, {}, {}}, 8), missing);
    EXPECT_EQ(fault_of({{}, {}, 2}, 8), missing);
}

TEST(BatchTriad, TheInferenceIsShown) {
    EXPECT_EQ(resolve_batch({64, 4, {}}, 8).inference,
              "gradient_accumulation_steps = 64 // 4 // 8 = 2");
    EXPECT_EQ(resolve_batch({64, {}, 2}, 8).inference,
              "train_micro_batch_size_per_gpu = 64 // 8 // 2 = 4");
    EXPECT_EQ(resolve_batch({{}, 4, 2}, 8).inference, "train_batch_size = 4 * 2 * 8 = 64");
}

TEST(BatchTriad, MessagesAreDeepSpeeds) {
    EXPECT_EQ(fault_of({8, 2, 1}, 1),
              "Check batch related parameters. train_batch_size is not equal to "
              "micro_batch_per_gpu * gradient_acc_step * world_size 8 != 2 * 1 * 1");
    EXPECT_EQ(fault_of({0, 2, 1}, 1), "Train batch size: 0 has to be greater than 0");
    EXPECT_EQ(fault_of({8, -2, {}}, 1), "Micro batch size per gpu: -2 has to be greater than 0");
    EXPECT_EQ(fault_of({8, 2, 0}, 1), "Gradient accumulation steps: 0 has to be greater than 0");
    // What is inferred as 0 says from what.
    EXPECT_THAT(fault_of({4, {}, {}}, 8),
                HasSubstr("Micro batch size per gpu: 0 has to be greater "
                          "than 0 (gradient_accumulation_steps = 1, "
                          "train_micro_batch_size_per_gpu = 4 // 8 = 0)"));
    EXPECT_THAT(fault_of({4, 8, {}}, 1), HasSubstr("Gradient accumulation steps: 0"));
    EXPECT_THAT(fault_of({kLargestBatch + 1, {}, {}}, 1), HasSubstr("at most 1000000000"));
}

TEST(BatchTriad, RemediesWork) {
    const auto fix_of = [](const BatchTriad& given, std::int64_t ranks) {
        try {
            resolve_batch(given, ranks);
        } catch (const Error& e) {
            return e.fix;
        }
        return std::string();
    };
    EXPECT_EQ(fix_of({8, 2, 1}, 1),
              "use train_batch_size 2, or 4 data-parallel ranks instead of 1");
    EXPECT_EQ(fix_of({65, {}, {}}, 4), "use train_batch_size 64, or 68");
    expect_batch({8, 2, 1}, 4, 8, 2, 1);
    expect_batch({68, {}, {}}, 4, 68, 17, 1);
}

// The rules once more, as a table of what is there, written without looking at how they are computed.
Number floor_of(std::int64_t a, std::int64_t b, std::int64_t c) { return (a / b) / c; }

struct Expected {
    Number train, micro, accumulation;
};

Expected restated(const BatchTriad& g, std::int64_t ranks) {
    const int there = (g.train ? 4 : 0) + (g.micro ? 2 : 0) + (g.accumulation ? 1 : 0);
    switch (there) {
        case 7:
            return {g.train, g.micro, g.accumulation};
        case 6:
            return {g.train, g.micro, floor_of(*g.train, *g.micro, ranks)};
        case 5:
            return {g.train, floor_of(*g.train, ranks, *g.accumulation), g.accumulation};
        case 4:
            return {g.train, floor_of(*g.train, ranks, 1), 1};
        case 3:
            return {*g.micro * *g.accumulation * ranks, g.micro, g.accumulation};
        case 2:
            return {*g.micro * ranks, g.micro, 1};
        default:
            return {};
    }
}

bool acceptable(const Expected& e, std::int64_t ranks) {
    if (!e.train) return false;
    return *e.train > 0 && *e.micro > 0 && *e.accumulation > 0 &&
           *e.train == *e.micro * *e.accumulation * ranks;
}

void check_batch(const BatchTriad& given, std::int64_t ranks) {
    const Expected expected = restated(given, ranks);
    if (acceptable(expected, ranks))
        expect_batch(given, ranks, *expected.train, *expected.micro, *expected.accumulation);
    else
        EXPECT_NE(fault_of(given, ranks), "");
}

TEST(BatchTriad, SmallNumbersExhaustively) {
    const auto numbers = [](std::int64_t largest) {
        std::vector<Number> all{std::nullopt};
        for (std::int64_t n = 1; n <= largest; ++n) all.emplace_back(n);
        return all;
    };
    for (std::int64_t ranks = 1; ranks <= 6; ++ranks)
        for (const Number& train : numbers(24))
            for (const Number& micro : numbers(6))
                for (const Number& accumulation : numbers(6))
                    check_batch({train, micro, accumulation}, ranks);
}

TEST(BatchTriad, RandomTriples) {
    const std::uint64_t seed = std::random_device()();
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    const auto one_to = [&](std::int64_t n) {
        return std::uniform_int_distribution<std::int64_t>(1, n)(random);
    };
    for (int round = 0; round < 20'000; ++round) {
        const std::int64_t micro = one_to(64), accumulation = one_to(64), ranks = one_to(512);
        // Every other one fits; of the others most are off by a little.
        const std::int64_t train = micro * accumulation * ranks + (one_to(2) == 1 ? 0 : one_to(9));
        BatchTriad given;
        if (one_to(3) > 1) given.train = train;
        if (one_to(3) > 1) given.micro = micro;
        if (one_to(3) > 1) given.accumulation = accumulation;
        check_batch(given, ranks);
    }
}

}  // namespace
}  // namespace shardscope
