#include "core/yaml_text.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "core/error.h"

namespace shardscope {
namespace {

unsigned char byte_at(std::string_view text, std::size_t i) {
    return static_cast<unsigned char>(text[i]);
}

// Length of the UTF-8 sequence at `i`, or 0 if there is none (RFC 3629: no overlong forms, no
// surrogates, nothing above U+10FFFF).
std::size_t utf8_length(std::string_view text, std::size_t i) {
    const unsigned char first = byte_at(text, i);
    if (first < 0x80) return 1;
    const std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || i + length > text.size()) return 0;
    for (std::size_t k = 1; k < length; ++k) {
        if ((byte_at(text, i + k) & 0xC0) != 0x80) return 0;
    }
    const unsigned char second = byte_at(text, i + 1);
    const bool overlong = (first == 0xE0 && second < 0xA0) || (first == 0xF0 && second < 0x90);
    const bool outside = (first == 0xED && second > 0x9F) || (first == 0xF4 && second > 0x8F);
    return overlong || outside ? 0 : length;
}

bool is_forbidden_control(unsigned char c) {
    return c < 0x20 && c != '\t' && c != '\n' && c != '\r';
}

}  // namespace

void check_text(std::string_view text, const std::string& file) {
    int line = 1, column = 1;
    for (std::size_t i = 0; i < text.size();) {
        const std::size_t length = utf8_length(text, i);
        if (length == 0 || is_forbidden_control(byte_at(text, i))) {
            throw Error("encoding",
                        fmt::format("{}:{}:{}: byte 0x{:02X} is not part of a UTF-8 text", file,
                                    line, column, byte_at(text, i)),
                        "give a text file in UTF-8");
        }
        const bool end_of_line = text[i] == '\n';
        line += end_of_line;
        column = end_of_line ? 1 : column + 1;
        i += length;
    }
}

bool is_name(std::string_view text) {
    return !text.empty() && text.size() <= kLongestName &&
           std::all_of(text.begin(), text.end(),
                       [](char c) { return static_cast<unsigned char>(c) >= 0x20; });
}

std::string printable(std::string_view text) {
    constexpr std::size_t kLongest = 60;
    std::string result;
    for (std::size_t i = 0; i < text.size();) {
        const std::size_t length = utf8_length(text, i);
        if (result.size() + length > kLongest) return result + "…";
        const bool plain = length > 0 && byte_at(text, i) >= 0x20 && byte_at(text, i) != 0x7F;
        result += plain ? text.substr(i, length) : "?";
        i += length > 0 ? length : 1;
    }
    return result;
}

std::string read_text_file(const std::string& path, const std::string& what, std::int64_t most) {
    namespace fs = std::filesystem;
    const auto fail = [&](const std::string& why, const std::string& fix) {
        throw Error("file", fmt::format("{}: {}", path, why), fix, ErrorKind::io);
    };
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    if (status.type() == fs::file_type::not_found) {
        fail(fmt::format("there is no such {} file", what), "check the path");
    }
    if (fs::is_directory(status)) {
        fail(fmt::format("is a directory, not a {} file", what), "name a file in it");
    }
    errno = 0;
    std::ifstream stream(path, std::ios::binary);
    if (!stream) fail(std::strerror(errno), "check that the file is readable");
    std::string text;
    char block[65536];
    while (stream.read(block, sizeof block), stream.gcount() > 0) {
        text.append(block, static_cast<std::size_t>(stream.gcount()));
        if (text.size() > static_cast<std::size_t>(most)) {
            fail(fmt::format("is larger than {} MiB", most >> 20),
                 fmt::format("name a {} file", what));
        }
    }
    if (stream.bad()) fail("cannot be read", "check the disk and the file's permissions");
    return text;
}

}  // namespace shardscope
