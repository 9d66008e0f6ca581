#include "backends/rank_state.h"

#include <algorithm>
#include <stdexcept>
#include <thread>
#include <type_traits>

#include "core/bf16.h"
#include "core/model/initialize.h"

namespace shardscope {
namespace {

// Calls use(T()) with the type that `dtype` names.
template <class Use>
void with_type(DType dtype, Use use) {
    switch (dtype) {
        case DType::fp32:
            return use(float());
        case DType::fp64:
            return use(double());
        case DType::bf16:
            return use(Bf16());
        case DType::fp16:
        case DType::int32:
        case DType::int8:
            throw std::logic_error("slices of parameters are never fp16, int32 or int8");
    }
}

// A bf16 weight is its fp32 master copy rounded, so it goes through fp32 as well.
template <class T>
T stored(double value) {
    if constexpr (std::is_same_v<T, double>)
        return value;
    else
        return static_cast<float>(value);
}

}  // namespace

std::byte* RankState::address(const ShardSlice& slice) const {
    return arena_ + memory_.offset[slice.buffer.index()].value +
           slice.buffer_first * size_of(dtype(slice));
}

std::vector<double> RankState::read(const ShardSlice& slice) const {
    std::vector<double> values(static_cast<std::size_t>(slice.count));
    with_type(dtype(slice), [&]<class T>(T) {
        const T* from = reinterpret_cast<const T*>(address(slice));
        std::vector<T> stored(copy_ == nullptr ? 0 : values.size());
        if (copy_ != nullptr) {
            copy_(stored.data(), from, stored.size() * sizeof(T));
            from = stored.data();
        }
        std::copy_n(from, values.size(), values.begin());
    });
    return values;
}

void RankState::write(const ShardSlice& slice, std::span<const double> values) const {
    with_type(dtype(slice), [&]<class T>(T) {
        T* const to = reinterpret_cast<T*>(address(slice));
        std::vector<T> storing(copy_ == nullptr ? 0 : values.size());
        std::transform(values.begin(), values.end(), copy_ == nullptr ? to : storing.data(),
                       stored<T>);
        if (copy_ != nullptr) copy_(to, storing.data(), storing.size() * sizeof(T));
    });
}

namespace {

constexpr std::int64_t kChunk = 1 << 16;  // elements drawn at a time

bool has_initial_values(const ShardSlice& slice) {
    return slice.tensor == ShardSlice::Tensor::parameter ||
           slice.tensor == ShardSlice::Tensor::master;
}

// At most kChunk elements each.
std::vector<ShardSlice> chunks_of(const std::vector<ShardSlice>& slices) {
    std::vector<ShardSlice> chunks;
    for (const ShardSlice& slice : slices) {
        if (!has_initial_values(slice)) continue;
        for (std::int64_t done = 0; done < slice.count; done += kChunk) {
            ShardSlice& chunk = chunks.emplace_back(slice);
            chunk.global_first += done;
            chunk.buffer_first += done;
            chunk.count = std::min(kChunk, slice.count - done);
        }
    }
    return chunks;
}

}  // namespace

void write_initial_weights(const Plan& plan, const RankState& state, int threads) {
    const std::vector<ShardSlice> chunks = chunks_of(state.slices());
    const auto width = static_cast<std::size_t>(std::max(1, threads));
    std::vector<std::vector<double>> values(width);
    const auto draw = [&](std::size_t first, std::size_t lane) {
        const ShardSlice& chunk = chunks[first + lane];
        values[lane].resize(static_cast<std::size_t>(chunk.count));
        initial_values(plan.model->parameters[chunk.parameter.index()], plan.training.seed,
                       chunk.global_first, values[lane]);
    };
    for (std::size_t first = 0; first < chunks.size(); first += width) {
        const std::size_t lanes = std::min(width, chunks.size() - first);
        {
            std::vector<std::jthread> others;
            for (std::size_t lane = 1; lane < lanes; ++lane) others.emplace_back(draw, first, lane);
            draw(first, 0);
        }
        for (std::size_t lane = 0; lane < lanes; ++lane)
            state.write(chunks[first + lane], values[lane]);
    }
}

}  // namespace shardscope
