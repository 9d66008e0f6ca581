#include "core/data/sources.h"
#include "core/model/initialize.h"

// Random samples with something to learn, so that a falling loss shows that training works. The
// rules do not depend on the seed: another seed gives other samples of the same task.
namespace shardscope {
namespace {

struct Words {
    std::uint32_t w[4];
};

Words draw(const Philox& generator, std::uint64_t low, std::uint64_t high) {
    Words words;
    generator(low, high, words.w);
    return words;
}

// How many different samples there are; 0: no end of them.
struct Samples {
    explicit Samples(const SyntheticData& data) : count(static_cast<std::uint64_t>(data.samples)) {}
    std::uint64_t number_of(std::uint64_t index) const {
        return count == 0 ? index : index % count;
    }
    std::uint64_t count;
};

// Uniform in [−1, 1).
float signed_unit(std::uint32_t word) { return static_cast<float>(word >> 8) * 0x1p-23F - 1.0F; }

// A walk through the vocabulary, t → (5·t + 7) mod vocab, that one time in eight jumps anywhere.
class SyntheticTokens final : public TokenSource {
public:
    SyntheticTokens(const SyntheticData& data, const Model& model, std::uint64_t seed)
        : samples_(data),
          generator_{stream_key(seed, "data.synthetic")},
          vocab_(static_cast<std::uint64_t>(model.classes)),
          seq_(static_cast<std::size_t>(model.seq)) {}

    void tokens(std::uint64_t index, std::span<std::int32_t> inputs,
                std::span<std::int32_t> targets) const override {
        expect_sample_size("inputs", inputs.size(), seq_);
        expect_sample_size("targets", targets.size(), seq_);
        index = samples_.number_of(index);
        std::uint64_t token = jump(draw(generator_, index, 0));
        for (std::size_t i = 0; i < seq_; ++i) {
            inputs[i] = static_cast<std::int32_t>(token);
            const Words words = draw(generator_, index, i + 1);
            token = words.w[2] % 8 == 0 ? jump(words) : (5 * token + 7) % vocab_;
            targets[i] = static_cast<std::int32_t>(token);
        }
    }

    std::uint64_t period() const override { return samples_.count; }

private:
    std::uint64_t jump(const Words& words) const {
        return (std::uint64_t{words.w[1]} << 32 | words.w[0]) % vocab_;
    }

    Samples samples_;
    Philox generator_;
    std::uint64_t vocab_;
    std::size_t seq_;
};

// Each class is a point with coordinates in [−1, 1); a sample is its class's point plus uniform
// noise of the same size.
class SyntheticFeatures final : public FeatureSource {
public:
    SyntheticFeatures(const SyntheticData& data, const Model& model, std::uint64_t seed)
        : samples_(data),
          generator_{stream_key(seed, "data.synthetic")},
          classes_(static_cast<std::uint64_t>(model.classes)),
          width_(static_cast<std::size_t>(model.input_width)) {}

    void features(std::uint64_t index, std::span<float> values,
                  std::int32_t& label) const override {
        expect_sample_size("features", values.size(), width_);
        index = samples_.number_of(index);
        const Words first = draw(generator_, index, 0);
        const std::uint64_t drawn = (std::uint64_t{first.w[1]} << 32 | first.w[0]) % classes_;
        label = static_cast<std::int32_t>(drawn);
        const Philox points{stream_key(0, "data.synthetic.classes")};
        for (std::size_t j = 0; j < width_; j += 4) {
            const Words noise = draw(generator_, index, j / 4 + 1);
            const Words point = draw(points, drawn, j / 4);
            for (std::size_t k = 0; k < 4 && j + k < width_; ++k)
                values[j + k] = signed_unit(point.w[k]) + signed_unit(noise.w[k]);
        }
    }

    std::uint64_t period() const override { return samples_.count; }

private:
    Samples samples_;
    Philox generator_;
    std::uint64_t classes_;
    std::size_t width_;
};

}  // namespace

std::unique_ptr<DataSource> make_synthetic(const SyntheticData& data, const Model& model,
                                           std::uint64_t seed) {
    if (model.tokens) return std::make_unique<SyntheticTokens>(data, model, seed);
    return std::make_unique<SyntheticFeatures>(data, model, seed);
}

}  // namespace shardscope
