// Training samples by number: sample i is the same whatever rank asks for it, so that every
// distribution of a global batch trains on the same data.
//
// Implementations are immutable after opening and safe to read from several threads.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "core/model/model.h"
#include "core/scenario.h"

namespace shardscope {

class DataSource {
public:
    virtual ~DataSource() = default;

    // Token models: inputs and next-token targets, each of the model's seq length. Sample `index`
    // starts at a position drawn from a counter-based generator keyed by (seed, index).
    virtual void tokens(std::uint64_t index, std::span<std::int32_t> inputs,
                        std::span<std::int32_t> targets) const = 0;

    // Feature models: the feature vector and its label.
    virtual void features(std::uint64_t index, std::span<float> values,
                          std::int32_t& label) const = 0;

    // Samples i and i + period() are the same; 0: no such number is known.
    virtual std::uint64_t period() const { return 0; }
};

// Opens what the scenario names and checks it against the model (rules "corpus", "token-range",
// "idx-format", …; a missing file is ErrorKind::io). Token ids beyond the vocabulary, a corpus
// shorter than seq + 1 and images of the wrong size are refused here, not during training.
std::unique_ptr<DataSource> open_data(const DataSpec& data, const Model& model, std::uint64_t seed);

}  // namespace shardscope
