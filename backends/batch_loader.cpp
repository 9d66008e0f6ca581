#include "backends/batch_loader.h"

#include <algorithm>
#include <numeric>
#include <span>
#include <stdexcept>

#include "core/bf16.h"
#include "core/error.h"

namespace shardscope {
namespace {

void store_features(std::span<const float> from, DType dtype, std::byte* to, std::int64_t first) {
    switch (dtype) {
        case DType::fp32:
            std::copy(from.begin(), from.end(), reinterpret_cast<float*>(to) + first);
            return;
        case DType::fp64:
            std::copy(from.begin(), from.end(), reinterpret_cast<double*>(to) + first);
            return;
        case DType::bf16:
            std::copy(from.begin(), from.end(), reinterpret_cast<Bf16*>(to) + first);
            return;
        case DType::fp16:
        case DType::int32:
        case DType::int8:
            throw std::logic_error("features are never fp16, int32 or int8");
    }
}

}  // namespace

BatchLoader::BatchLoader(const DataSource& source, const Layout& layout, int data_parallel_index)
    : source_(&source), layout_(layout), data_parallel_index_(data_parallel_index) {}

std::int64_t BatchLoader::period() const {
    const auto samples = source_ == nullptr ? 0 : static_cast<std::int64_t>(source_->period());
    if (samples == 0) return 0;
    const std::int64_t step = layout_.micro_batches * layout_.micro_batch * layout_.dp;
    return samples / std::gcd(samples, step);
}

void BatchLoader::load(const LoadBatch& kernel, DType dtype, const Addresses& operands,
                       const StepContext& context) {
    if (source_ == nullptr)
        throw Error("no-data", "the program loads a batch but no data was given", "",
                    ErrorKind::run_failed);
    auto* inputs = reinterpret_cast<std::int32_t*>(operands[0]);
    auto* targets = reinterpret_cast<std::int32_t*>(operands[1]);
    const std::int64_t per_micro_batch = layout_.micro_batch * layout_.dp;
    const std::int64_t first = context.step * layout_.micro_batches * per_micro_batch +
                               context.micro_batch * per_micro_batch +
                               data_parallel_index_ * layout_.micro_batch;
    for (std::int64_t i = 0; i < kernel.samples; ++i) {
        const auto sample = static_cast<std::uint64_t>(first + i);
        if (kernel.tokens) {
            const auto seq = static_cast<std::size_t>(kernel.seq);
            tokens_.resize(2 * seq);
            const std::span<std::int32_t> pair(tokens_);
            source_->tokens(sample, pair.first(seq), pair.last(seq));
            if (kernel.inputs) std::copy_n(pair.data(), seq, inputs + i * kernel.seq);
            if (kernel.targets) std::copy_n(pair.data() + seq, seq, targets + i * kernel.seq);
        } else {
            features_.resize(static_cast<std::size_t>(kernel.width));
            std::int32_t target = 0;
            source_->features(sample, features_, target);
            if (kernel.inputs) store_features(features_, dtype, operands[0], i * kernel.width);
            if (kernel.targets) targets[i] = target;
        }
    }
}

}  // namespace shardscope
