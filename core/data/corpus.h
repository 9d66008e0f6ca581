// Internal to core/data: one long sequence of tokens in memory, cut into samples.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/data/read_file.h"
#include "core/data/sources.h"

namespace shardscope {

// Throws Error "corpus" unless `count` tokens hold one sample: seq inputs and a last target.
void expect_corpus_length(const std::string& path, std::uint64_t count, const Model& model);

// Error "token-range" for a token that the model's vocabulary does not have; the fix is a vocabulary
// for the file's largest token.
Error token_range_error(const std::string& path, const std::string& what, std::uint64_t position,
                        std::uint64_t value, std::uint64_t largest, std::int64_t vocab);

// `Token` is the file's own width, so that a corpus takes no more memory than disk.
template <class Token>
class Corpus final : public TokenSource {
public:
    // Checks length and range; `what` names one element in messages ("byte", "token").
    Corpus(std::vector<Token> tokens, const std::string& path, const char* what, const Model& model,
           std::uint64_t seed)
        : tokens_(std::move(tokens)), seq_(static_cast<std::size_t>(model.seq)), seed_(seed) {
        expect_corpus_length(path, tokens_.size(), model);
        const auto bad = std::find_if(tokens_.begin(), tokens_.end(), [&](Token t) {
            return static_cast<std::int64_t>(t) >= model.classes;
        });
        if (bad != tokens_.end())
            throw token_range_error(path, what, static_cast<std::uint64_t>(bad - tokens_.begin()),
                                    *bad, *std::max_element(bad, tokens_.end()), model.classes);
    }

    void tokens(std::uint64_t index, std::span<std::int32_t> inputs,
                std::span<std::int32_t> targets) const override {
        expect_sample_size("inputs", inputs.size(), seq_);
        expect_sample_size("targets", targets.size(), seq_);
        const std::uint64_t start = draw_below(tokens_.size() - seq_, seed_, index);
        for (std::size_t i = 0; i < seq_; ++i) {
            inputs[i] = static_cast<std::int32_t>(tokens_[start + i]);
            targets[i] = static_cast<std::int32_t>(tokens_[start + i + 1]);
        }
    }

private:
    std::vector<Token> tokens_;
    std::size_t seq_;
    std::uint64_t seed_;
};

}  // namespace shardscope
