#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "core/data/data_source.h"
#include "core/error.h"

namespace shardscope {
namespace {

namespace fs = std::filesystem;

using Bytes8 = std::vector<std::uint8_t>;

Model token_model(std::int64_t vocab, std::int64_t seq) {
    GptSpec spec;
    spec.layers = 1;
    spec.hidden = spec.heads = 2;
    spec.vocab = vocab;
    spec.seq = seq;
    return build_model({"tiny gpt", spec});
}

Model feature_model(std::int64_t width, std::int64_t classes) {
    LayerListSpec spec;
    spec.items = {{LayerListSpec::Kind::linear, width, classes}};
    return build_model({"tiny mlp", spec});
}

struct TokenSample {
    std::vector<std::int32_t> inputs, targets;
    bool operator==(const TokenSample&) const = default;
};

TokenSample tokens_of(const DataSource& source, std::uint64_t index, std::size_t seq) {
    TokenSample sample{std::vector<std::int32_t>(seq), std::vector<std::int32_t>(seq)};
    source.tokens(index, sample.inputs, sample.targets);
    return sample;
}

struct FeatureSample {
    std::vector<float> values;
    std::int32_t label = -1;
    bool operator==(const FeatureSample&) const = default;
};

FeatureSample features_of(const DataSource& source, std::uint64_t index, std::size_t width) {
    FeatureSample sample{std::vector<float>(width)};
    source.features(index, sample.values, sample.label);
    return sample;
}

void append(Bytes8& out, std::uint64_t value, int bytes) {  // little-endian
    for (int i = 0; i < bytes; ++i) out.push_back(static_cast<std::uint8_t>(value >> 8 * i));
}

void append_big(Bytes8& out, std::uint32_t value) {
    for (int i = 3; i >= 0; --i) out.push_back(static_cast<std::uint8_t>(value >> 8 * i));
}

Bytes8 token_file(const std::vector<std::uint32_t>& tokens, std::uint32_t magic = 20240520,
                  std::uint32_t version = 1, int width = 2) {
    Bytes8 out;
    append(out, magic, 4);
    append(out, version, 4);
    append(out, tokens.size(), 4);
    out.resize(1024);
    for (std::uint32_t t : tokens) append(out, t, width);
    return out;
}

Bytes8 image_file(std::uint32_t count, std::uint32_t rows, std::uint32_t columns, Bytes8 pixels) {
    Bytes8 out;
    for (std::uint32_t word : {0x803u, count, rows, columns}) append_big(out, word);
    out.insert(out.end(), pixels.begin(), pixels.end());
    return out;
}

Bytes8 label_file(const Bytes8& labels) {
    Bytes8 out;
    append_big(out, 0x801);
    append_big(out, static_cast<std::uint32_t>(labels.size()));
    out.insert(out.end(), labels.begin(), labels.end());
    return out;
}

// Each test has its own folder, so that tests run beside each other.
class Data : public testing::Test {
protected:
    void SetUp() override {
        std::string name = (fs::temp_directory_path() / "shardscope-data-XXXXXX").string();
        ASSERT_NE(mkdtemp(name.data()), nullptr);
        folder_ = name;
    }
    void TearDown() override { fs::remove_all(folder_); }

    std::string path(const std::string& name) const { return (folder_ / name).string(); }

    std::string write(const std::string& name, const Bytes8& bytes) const {
        std::ofstream stream(path(name), std::ios::binary);
        stream.write(reinterpret_cast<const char*>(bytes.data()),
                     static_cast<std::streamsize>(bytes.size()));
        return path(name);
    }
    std::string write(const std::string& name, const std::string& text) const {
        return write(name, Bytes8(text.begin(), text.end()));
    }

    // The error of opening `data`; fails the test if there is none.
    Error error_of(const DataSpec& data, const Model& model) const {
        try {
            open_data(data, model, 1);
        } catch (const Error& e) {
            EXPECT_FALSE(e.fix.empty());
            return e;
        }
        ADD_FAILURE() << "opened";
        return Error("no error", "", "");
    }

    void expect_rule(const DataSpec& data, const Model& model, const std::string& rule,
                     const std::string& part, ErrorKind kind = ErrorKind::invalid_input) const {
        const Error e = error_of(data, model);
        EXPECT_EQ(e.rule, rule) << e.what();
        EXPECT_NE(e.message.find(part), std::string::npos) << e.what();
        EXPECT_EQ(e.kind, kind) << e.what();
    }

    fs::path folder_;
};

TEST_F(Data, TextSamplesAreSlicesOfTheFile) {
    std::string text(1000, ' ');
    for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i % 251);
    const auto source = open_data(TextData{write("a.txt", text)}, token_model(256, 16), 1);
    std::set<std::int32_t> starts;
    for (std::uint64_t i = 0; i < 200; ++i) {
        const TokenSample sample = tokens_of(*source, i, 16);
        for (std::size_t j = 0; j < 16; ++j) {
            EXPECT_EQ(sample.inputs[j], (sample.inputs[0] + static_cast<int>(j)) % 251);
            EXPECT_EQ(sample.targets[j], (sample.inputs[j] + 1) % 251);
        }
        starts.insert(sample.inputs[0]);
    }
    EXPECT_GT(starts.size(), 100u);
}

TEST_F(Data, EveryPossibleStartOccurs) {
    const auto source = open_data(TextData{write("a.txt", "abcdef")}, token_model(256, 3), 1);
    std::set<std::int32_t> starts;
    for (std::uint64_t i = 0; i < 100; ++i) starts.insert(tokens_of(*source, i, 3).inputs[0]);
    EXPECT_EQ(starts, (std::set<std::int32_t>{'a', 'b', 'c'}));
}

TEST_F(Data, TheShortestCorpusHasOneSample) {
    const auto source = open_data(TextData{write("a.txt", "abcd")}, token_model(256, 3), 1);
    const TokenSample sample = tokens_of(*source, 99, 3);
    EXPECT_EQ(sample.inputs, (std::vector<std::int32_t>{'a', 'b', 'c'}));
    EXPECT_EQ(sample.targets, (std::vector<std::int32_t>{'b', 'c', 'd'}));
}

TEST_F(Data, BadText) {
    const Model model = token_model(128, 4);
    expect_rule(TextData{path("none.txt")}, model, "data-file", "no such file", ErrorKind::io);
    expect_rule(TextData{folder_.string()}, model, "data-file", "directory", ErrorKind::io);
    expect_rule(TextData{"/dev/null"}, model, "data-file", "regular", ErrorKind::io);
    expect_rule(TextData{write("empty.txt", "")}, model, "corpus", "empty");
    expect_rule(TextData{write("short.txt", "abcd")}, model, "corpus",
                "has 4 tokens, but one sample needs seq + 1 = 5");
    const auto range = TextData{write("utf8.txt", "na\xC3\xAFve \xFC")};
    expect_rule(range, model, "token-range", "byte 195 at position 2");
    EXPECT_EQ(error_of(range, model).fix, "use vocab 253 or more");
    EXPECT_EQ(error_of(TextData{path("none.txt")}, model).exit_code(), 2);
}

TEST_F(Data, UnreadableFile) {
    const std::string file = write("secret.txt", "some text");
    fs::permissions(file, fs::perms::none);
    if (std::ifstream(file)) GTEST_SKIP() << "this user may read every file";
    expect_rule(TextData{file}, token_model(256, 4), "data-file", "denied", ErrorKind::io);
}

TEST_F(Data, TokenFiles) {
    const std::vector<std::uint32_t> tokens{50256, 1, 2, 3};
    const auto small =
        open_data(TokenData{write("a.bin", token_file(tokens))}, token_model(50257, 3), 1);
    EXPECT_EQ(tokens_of(*small, 0, 3).inputs, (std::vector<std::int32_t>{50256, 1, 2}));
    EXPECT_EQ(tokens_of(*small, 0, 3).targets, (std::vector<std::int32_t>{1, 2, 3}));
    const auto wide =
        open_data(TokenData{write("b.bin", token_file({128000, 7, 8}, 20240801, 7, 4))},
                  token_model(128256, 2), 1);
    EXPECT_EQ(tokens_of(*wide, 0, 2).inputs, (std::vector<std::int32_t>{128000, 7}));
}

TEST_F(Data, BadTokenFiles) {
    const Model model = token_model(100, 2);
    const std::vector<std::uint32_t> tokens{1, 2, 3, 4};
    expect_rule(TokenData{path("none.bin")}, model, "data-file", "no such file", ErrorKind::io);
    expect_rule(TokenData{write("text.bin", "hello")}, model, "token-format", "5 bytes");
    expect_rule(TokenData{write("magic.bin", token_file(tokens, 1))}, model, "token-format",
                "magic 1 ");
    expect_rule(TokenData{write("version.bin", token_file(tokens, 20240520, 9))}, model,
                "token-format", "version 9");
    Bytes8 cut = token_file(tokens);
    cut.pop_back();
    expect_rule(TokenData{write("cut.bin", cut)}, model, "token-format",
                "has 1031 bytes, but its header says 4 tokens: 1032 bytes");
    expect_rule(TokenData{write("empty.bin", token_file({}))}, model, "corpus", "empty");
    expect_rule(TokenData{write("short.bin", token_file({1, 2}))}, model, "corpus", "has 2 tokens");
    expect_rule(TokenData{write("range.bin", token_file({1, 100, 3}))}, model, "token-range",
                "token 100 at position 1 is not below the vocabulary of 100");
}

TEST_F(Data, IdxFiles) {
    const auto images = write("images", image_file(3, 2, 1, {0, 255, 51, 102, 1, 2}));
    const auto labels = write("labels", label_file({4, 5, 6}));
    const auto source = open_data(IdxData{images, labels}, feature_model(2, 10), 1);
    std::set<std::int32_t> seen;
    for (std::uint64_t i = 0; i < 50; ++i) {
        const FeatureSample sample = features_of(*source, i, 2);
        seen.insert(sample.label);
        if (sample.label == 4) {
            EXPECT_EQ(sample.values, (std::vector<float>{0.0F, 1.0F}));
        }
        if (sample.label == 5) {
            EXPECT_EQ(sample.values, (std::vector<float>{51 / 255.0F, 102 / 255.0F}));
        }
    }
    EXPECT_EQ(seen, (std::set<std::int32_t>{4, 5, 6}));
}

TEST_F(Data, BadIdxFiles) {
    const Model model = feature_model(2, 10);
    const auto images = write("images", image_file(3, 2, 1, {0, 255, 51, 102, 1, 2}));
    const auto labels = write("labels", label_file({4, 5, 6}));
    expect_rule(IdxData{path("none"), labels}, model, "data-file", "no such", ErrorKind::io);
    expect_rule(IdxData{images, path("none")}, model, "data-file", "no such", ErrorKind::io);
    expect_rule(IdxData{labels, images}, model, "idx-format", "not the magic 0x00000803");
    expect_rule(IdxData{write("text", "a text"), labels}, model, "idx-format",
                "starts with 0x61207465");
    Bytes8 header_only = image_file(3, 2, 1, {});
    header_only.pop_back();
    expect_rule(IdxData{write("header", header_only), labels}, model, "idx-format", "15 bytes");
    expect_rule(IdxData{write("empty", ""), labels}, model, "idx-format", "0x00000000");
    expect_rule(IdxData{write("gz", "\x1f\x8b\x08 compressed content"), labels}, model,
                "idx-format", "gzip");
    expect_rule(IdxData{write("cut", image_file(3, 2, 1, {0, 1, 2, 3, 4})), labels}, model,
                "idx-format", "has 5 bytes after its header, not 3 items of 2 bytes");
    expect_rule(IdxData{write("none.idx", image_file(0, 2, 1, {})), labels}, model, "idx-format",
                "no items");
    expect_rule(IdxData{write("flat", image_file(3, 0, 1, {})), labels}, model, "idx-format",
                "no pixels");
    expect_rule(IdxData{write("huge", image_file(~0u, ~0u, ~0u, {1, 2, 3})), labels}, model,
                "idx-format", "has 3 bytes");
    expect_rule(IdxData{images, labels}, feature_model(784, 10), "idx-size", "2 pixels");
    expect_rule(IdxData{images, write("two", label_file({1, 2}))}, model, "idx-size",
                "2 labels for 3 images");
    expect_rule(IdxData{images, labels}, feature_model(2, 5), "label-range",
                "label 5 at position 1");
}

TEST_F(Data, KindMustMatchTheModel) {
    const auto text = write("a.txt", "some text");
    expect_rule(TextData{text}, feature_model(4, 2), "data-kind", "tiny mlp");
    expect_rule(TokenData{text}, feature_model(4, 2), "data-kind", "width 4");
    expect_rule(IdxData{text, text}, token_model(256, 4), "data-kind", "tiny gpt");
    const auto source = open_data(SyntheticData{}, token_model(16, 4), 1);
    EXPECT_THROW(features_of(*source, 0, 4), Error);
    EXPECT_THROW(tokens_of(*source, 0, 5), Error);
}

TEST_F(Data, SyntheticTokensFollowARuleMostOfTheTime) {
    const auto source = open_data(SyntheticData{}, token_model(50, 64), 1);
    int followed = 0, total = 0;
    std::set<std::int32_t> seen;
    for (std::uint64_t i = 0; i < 100; ++i) {
        const TokenSample sample = tokens_of(*source, i, 64);
        for (std::size_t j = 0; j < 64; ++j, ++total) {
            seen.insert(sample.inputs[j]);
            if (j + 1 < 64) {
                EXPECT_EQ(sample.targets[j], sample.inputs[j + 1]);
            }
            followed += sample.targets[j] == (5 * sample.inputs[j] + 7) % 50;
        }
    }
    EXPECT_EQ(*seen.begin(), 0);
    EXPECT_EQ(*seen.rbegin(), 49);
    EXPECT_NEAR(followed / static_cast<double>(total), 7.0 / 8 + 1.0 / 8 / 50, 0.03);
}

// The nearest class mean, learned from other samples, must tell the classes apart.
TEST_F(Data, SyntheticSamplesMayBeUsedOverAndOver) {
    const Model tokens = token_model(100, 8), features = feature_model(6, 3);
    const auto endless = open_data(SyntheticData{}, tokens, 1);
    const auto four = open_data(SyntheticData{4}, tokens, 1);
    EXPECT_EQ(endless->period(), 0u);
    EXPECT_EQ(four->period(), 4u);
    for (const std::uint64_t i : {0u, 3u, 4u, 103u})
        EXPECT_EQ(tokens_of(*four, i, 8), tokens_of(*endless, i % 4, 8));
    EXPECT_NE(tokens_of(*four, 4, 8), tokens_of(*endless, 4, 8));
    const auto three = open_data(SyntheticData{3}, features, 1);
    EXPECT_EQ(features_of(*three, 7, 6),
              features_of(*open_data(SyntheticData{}, features, 1), 1, 6));
}

TEST_F(Data, SyntheticFeaturesAreSeparable) {
    constexpr std::size_t kWidth = 33, kClasses = 5;
    const auto source = open_data(SyntheticData{}, feature_model(kWidth, kClasses), 1);
    std::vector<std::vector<double>> mean(kClasses, std::vector<double>(kWidth));
    std::vector<int> count(kClasses);
    for (std::uint64_t i = 0; i < 500; ++i) {
        const FeatureSample s = features_of(*source, i, kWidth);
        const auto c = static_cast<std::size_t>(s.label);
        ASSERT_LT(c, kClasses);
        ++count[c];
        for (std::size_t j = 0; j < kWidth; ++j) mean[c][j] += static_cast<double>(s.values[j]);
    }
    int right = 0;
    for (std::uint64_t i = 500; i < 700; ++i) {
        const FeatureSample s = features_of(*source, i, kWidth);
        std::vector<double> distance(kClasses);
        for (std::size_t c = 0; c < kClasses; ++c)
            for (std::size_t j = 0; j < kWidth; ++j) {
                const double d = static_cast<double>(s.values[j]) - mean[c][j] / count[c];
                distance[c] += d * d;
            }
        right += std::min_element(distance.begin(), distance.end()) - distance.begin() == s.label;
    }
    EXPECT_GT(right, 190);
}

// A sample depends on its number and the seed only: not on the order or the thread that asks.
TEST_F(Data, SamplesAreTheSameInAnyOrderAndThread) {
    const Model model = token_model(256, 8);
    const std::string file = write("a.txt", std::string(500, 'x') + std::string(500, 'y'));
    for (const DataSpec& spec : {DataSpec(TextData{file}), DataSpec(SyntheticData{})}) {
        const auto first = open_data(spec, model, 7), second = open_data(spec, model, 7);
        std::vector<TokenSample> forward, backward(100);
        for (std::uint64_t i = 0; i < 100; ++i) forward.push_back(tokens_of(*first, i, 8));
        auto read = [&](std::uint64_t from) {
            for (std::uint64_t i = from; i < 100; i += 2)
                backward[99 - i] = tokens_of(*second, 99 - i, 8);
        };
        std::thread even(read, 0), odd(read, 1);
        even.join();
        odd.join();
        EXPECT_EQ(forward, backward);
    }
}

TEST_F(Data, TheSeedChoosesTheSamples) {
    const Model tokens = token_model(1000, 8), features = feature_model(4, 2);
    const auto a = open_data(SyntheticData{}, tokens, 1), b = open_data(SyntheticData{}, tokens, 2);
    EXPECT_NE(tokens_of(*a, 0, 8), tokens_of(*b, 0, 8));
    EXPECT_NE(tokens_of(*a, 0, 8), tokens_of(*a, 1, 8));
    const auto c = open_data(SyntheticData{}, features, 1);
    const auto d = open_data(SyntheticData{}, features, 2);
    EXPECT_NE(features_of(*c, 0, 4), features_of(*d, 0, 4));
}

}  // namespace
}  // namespace shardscope
