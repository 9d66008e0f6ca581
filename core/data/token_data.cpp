#include <array>

#include <fmt/format.h>

#include "core/data/corpus.h"

namespace shardscope {
namespace {

// Header of llm.c's .bin files (dev/data/data_common.py): 256 little-endian int32, of which three
// are used: magic, version, number of tokens. The tokens follow.
constexpr std::size_t kHeaderBytes = 256 * 4;

struct Format {
    std::uint32_t magic, version;
    std::size_t token_bytes;
};
constexpr std::array<Format, 2> kFormats{{
    {20240520, 1, 2},  // GPT-2's
    {20240801, 7, 4},  // Llama 3's, whose vocabulary exceeds 16 bits
}};

std::uint32_t little_endian(const std::uint8_t* bytes, std::size_t width) {
    std::uint32_t value = 0;
    for (std::size_t i = width; i-- > 0;) value = value << 8 | bytes[i];
    return value;
}

Format format_of(const std::string& path, const std::vector<std::uint8_t>& bytes) {
    const char* fix = "write the file with llm.c's data_common.py, or use {text: file}";
    if (bytes.size() < kHeaderBytes)
        throw data_error(
            "token-format", path,
            fmt::format("has {} bytes, less than the header's {}", bytes.size(), kHeaderBytes),
            fix);
    const std::uint32_t magic = little_endian(bytes.data(), 4);
    const std::uint32_t version = little_endian(bytes.data() + 4, 4);
    for (const Format& format : kFormats)
        if (format.magic == magic && format.version == version) return format;
    throw data_error("token-format", path,
                     fmt::format("starts with magic {} and version {}, not llm.c's 20240520 and 1",
                                 magic, version),
                     fix);
}

// The header's number of tokens, once the file is known to hold exactly them.
std::size_t token_count(const std::string& path, const std::vector<std::uint8_t>& bytes,
                        const Format& format) {
    const std::size_t count = little_endian(bytes.data() + 8, 4);
    const std::size_t expected = kHeaderBytes + count * format.token_bytes;
    if (bytes.size() == expected) return count;
    throw data_error("token-format", path,
                     fmt::format("has {} bytes, but its header says {} tokens: {} bytes",
                                 bytes.size(), count, expected),
                     "write or copy the file again");
}

template <class Token>
std::unique_ptr<DataSource> make_corpus(const std::string& path,
                                        const std::vector<std::uint8_t>& bytes, std::size_t count,
                                        const Model& model, std::uint64_t seed) {
    std::vector<Token> tokens(count);
    for (std::size_t i = 0; i < count; ++i)
        tokens[i] = static_cast<Token>(
            little_endian(bytes.data() + kHeaderBytes + i * sizeof(Token), sizeof(Token)));
    return std::make_unique<Corpus<Token>>(std::move(tokens), path, "token", model, seed);
}

}  // namespace

std::unique_ptr<DataSource> open_tokens(const TokenData& data, const Model& model,
                                        std::uint64_t seed) {
    const std::vector<std::uint8_t> bytes = read_file(data.path);
    const Format format = format_of(data.path, bytes);
    const std::size_t count = token_count(data.path, bytes, format);
    if (format.token_bytes == sizeof(std::uint16_t))
        return make_corpus<std::uint16_t>(data.path, bytes, count, model, seed);
    return make_corpus<std::uint32_t>(data.path, bytes, count, model, seed);
}

}  // namespace shardscope
