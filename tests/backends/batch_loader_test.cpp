// Which samples a rank loads, and what a pipeline's first and last stage load of them.
#include "backends/batch_loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/bf16.h"
#include "core/error.h"

namespace shardscope {
namespace {

using testing::Each;
using testing::ElementsAre;

// Sample s: tokens 10·s, 10·s + 1, … and targets one more; features s + 1/512, label s.
class Numbered : public DataSource {
public:
    void tokens(std::uint64_t index, std::span<std::int32_t> inputs,
                std::span<std::int32_t> targets) const override {
        for (std::size_t i = 0; i < inputs.size(); ++i) {
            inputs[i] = static_cast<std::int32_t>(10 * index + i);
            targets[i] = inputs[i] + 1;
        }
    }
    void features(std::uint64_t index, std::span<float> values,
                  std::int32_t& label) const override {
        std::fill(values.begin(), values.end(), static_cast<float>(index) + 1.0f / 512);
        label = static_cast<std::int32_t>(index);
    }
};

// Two micro-batches of two samples on each of three ranks.
BatchLoader loader(int data_index) {
    static const Numbered source;
    Layout layout;
    layout.dp = 3;
    layout.micro_batch = 2;
    layout.micro_batches = 2;
    return BatchLoader(source, layout, data_index);
}

StepContext context(std::int64_t step, std::int32_t micro_batch) {
    StepContext c;
    c.step = step;
    c.micro_batch = micro_batch;
    return c;
}

template <class T>
std::byte* address(std::vector<T>& values) {
    return reinterpret_cast<std::byte*>(values.data());
}

TEST(BatchLoader, StepsRepeatWhenSamplesDo) {
    class Repeating final : public Numbered {
    public:
        explicit Repeating(std::uint64_t period) : period_(period) {}
        std::uint64_t period() const override { return period_; }

    private:
        std::uint64_t period_;
    };
    Layout layout;  // 12 samples a step
    layout.dp = 3;
    layout.micro_batch = 2;
    layout.micro_batches = 2;
    const auto steps = [&](std::uint64_t period) {
        const Repeating source(period);
        return BatchLoader(source, layout, 0).period();
    };
    EXPECT_EQ(steps(0), 0);
    EXPECT_EQ(steps(12), 1);
    EXPECT_EQ(steps(4), 1);
    EXPECT_EQ(steps(24), 2);
    EXPECT_EQ(steps(18), 3);
    EXPECT_EQ(steps(7), 7);
}

TEST(BatchLoader, RanksShareTheGlobalBatch) {
    std::vector<std::int32_t> inputs(4), targets(4);
    loader(1).load(LoadBatch{2, 2, 0, true}, DType::fp32, {address(inputs), address(targets)},
                   context(3, 1));
    // Step 3 starts at sample 36, its second micro-batch at 42, rank 1 has the third and fourth.
    EXPECT_THAT(inputs, ElementsAre(440, 441, 450, 451));
    EXPECT_THAT(targets, ElementsAre(441, 442, 451, 452));
}

TEST(BatchLoader, InputsOrTargetsAlone) {
    std::vector<std::int32_t> inputs(4, -7), targets(4, -7);
    LoadBatch kernel{2, 2, 0, true};
    kernel.targets = false;
    loader(0).load(kernel, DType::fp32, {address(inputs), nullptr}, context(0, 0));
    EXPECT_THAT(inputs, ElementsAre(0, 1, 10, 11));
    kernel.targets = true;
    kernel.inputs = false;
    loader(0).load(kernel, DType::fp32, {nullptr, address(targets)}, context(0, 0));
    EXPECT_THAT(targets, ElementsAre(1, 2, 11, 12));
    // An address that is given but not wanted stays as it is.
    loader(0).load(kernel, DType::fp32, {address(inputs), address(targets)}, context(1, 0));
    EXPECT_THAT(inputs, ElementsAre(0, 1, 10, 11));
}

TEST(BatchLoader, FeaturesOrLabelsAlone) {
    std::vector<double> features(6, -7);
    std::vector<std::int32_t> labels(2, -7);
    LoadBatch kernel{2, 1, 3, false};
    kernel.targets = false;
    loader(2).load(kernel, DType::fp64, {address(features), nullptr}, context(0, 0));
    EXPECT_THAT(std::vector(features.begin(), features.begin() + 3), Each(4 + 1.0 / 512));
    EXPECT_THAT(std::vector(features.begin() + 3, features.end()), Each(5 + 1.0 / 512));
    kernel.targets = true;
    kernel.inputs = false;
    loader(2).load(kernel, DType::fp64, {nullptr, address(labels)}, context(0, 0));
    EXPECT_THAT(labels, ElementsAre(4, 5));
}

TEST(BatchLoader, FeaturesInEveryPrecision) {
    std::vector<float> single(3);
    std::vector<Bf16> half(3, Bf16(0));
    std::vector<std::int32_t> labels(1);
    const LoadBatch kernel{1, 1, 3, false};
    loader(2).load(kernel, DType::fp32, {address(single), address(labels)}, context(0, 0));
    EXPECT_THAT(single, Each(4 + 1.0f / 512));
    loader(2).load(kernel, DType::bf16, {address(half), address(labels)}, context(0, 0));
    EXPECT_THAT(std::vector<float>(half.begin(), half.end()), Each(4.0f));
}

TEST(BatchLoader, WithoutDataIsAnError) {
    EXPECT_THROW(BatchLoader().load(LoadBatch{}, DType::fp32, {}, {}), Error);
}

}  // namespace
}  // namespace shardscope
