#include "core/data/data_source.h"

#include <string>

#include <fmt/format.h>

#include "core/data/sources.h"
#include "core/error.h"
#include "core/model/initialize.h"

namespace shardscope {
namespace {

[[noreturn]] void throw_wrong_kind(const std::string& message, const std::string& fix) {
    throw Error("data-kind", message, fix);
}

void expect_token_model(const Model& model, const char* data) {
    if (model.tokens) return;
    throw_wrong_kind(
        fmt::format("{} data is tokens, but model '{}' takes feature vectors of width {}", data,
                    model.name, model.input_width),
        "use {idx: [images, labels]} or {synthetic: {}}, or a gpt or llama model");
}

void expect_feature_model(const Model& model, const char* data) {
    if (!model.tokens) return;
    throw_wrong_kind(
        fmt::format("{} data is feature vectors, but model '{}' takes tokens", data, model.name),
        "use {text: file}, {tokens: file} or {synthetic: {}}, or a layer list");
}

struct Opener {
    const Model& model;
    std::uint64_t seed;

    std::unique_ptr<DataSource> operator()(const SyntheticData& data) const {
        return make_synthetic(data, model, seed);
    }
    std::unique_ptr<DataSource> operator()(const TextData& data) const {
        expect_token_model(model, "text");
        return open_text(data, model, seed);
    }
    std::unique_ptr<DataSource> operator()(const TokenData& data) const {
        expect_token_model(model, "tokens");
        return open_tokens(data, model, seed);
    }
    std::unique_ptr<DataSource> operator()(const IdxData& data) const {
        expect_feature_model(model, "idx");
        return open_idx(data, model, seed);
    }
};

}  // namespace

void TokenSource::features(std::uint64_t, std::span<float>, std::int32_t&) const {
    throw_wrong_kind("this data has tokens, not features", "read it with tokens()");
}

void FeatureSource::tokens(std::uint64_t, std::span<std::int32_t>, std::span<std::int32_t>) const {
    throw_wrong_kind("this data has features, not tokens", "read it with features()");
}

void expect_sample_size(std::string_view what, std::size_t given, std::size_t expected) {
    if (given == expected) return;
    throw Error("sample-size",
                fmt::format("a buffer for {} has {} elements, not {}", what, given, expected),
                "use the model's length");
}

std::uint64_t draw_below(std::uint64_t count, std::uint64_t seed, std::uint64_t index) {
    std::uint32_t word[4];
    Philox{stream_key(seed, "data.samples")}(index, 0, word);
    // The remainder favours small numbers by less than count / 2⁶⁴.
    return (std::uint64_t{word[1]} << 32 | word[0]) % count;
}

std::unique_ptr<DataSource> open_data(const DataSpec& data, const Model& model,
                                      std::uint64_t seed) {
    return std::visit(Opener{model, seed}, data);
}

}  // namespace shardscope
