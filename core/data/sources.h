// Internal to core/data: one opener per kind of data, and what the kinds have in common.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "core/data/data_source.h"

namespace shardscope {

std::unique_ptr<DataSource> open_text(const TextData& data, const Model& model, std::uint64_t seed);
std::unique_ptr<DataSource> open_tokens(const TokenData& data, const Model& model,
                                        std::uint64_t seed);
std::unique_ptr<DataSource> open_idx(const IdxData& data, const Model& model, std::uint64_t seed);
std::unique_ptr<DataSource> make_synthetic(const SyntheticData& data, const Model& model,
                                           std::uint64_t seed);

// A source for token models; asking it for features is Error "data-kind", a bug in the caller.
class TokenSource : public DataSource {
public:
    void features(std::uint64_t index, std::span<float> values, std::int32_t& label) const final;
};

// A source for feature models; asking it for tokens is Error "data-kind".
class FeatureSource : public DataSource {
public:
    void tokens(std::uint64_t index, std::span<std::int32_t> inputs,
                std::span<std::int32_t> targets) const final;
};

// Throws Error "sample-size" unless the caller's buffer has the model's length.
void expect_sample_size(std::string_view what, std::size_t given, std::size_t expected);

// Number of sample `index` drawn from 0 … count − 1 (count ≥ 1), with replacement.
std::uint64_t draw_below(std::uint64_t count, std::uint64_t seed, std::uint64_t index);

}  // namespace shardscope
