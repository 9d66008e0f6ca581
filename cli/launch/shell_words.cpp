#include "cli/launch/shell_words.h"

#include <cctype>

#include <fmt/format.h>

#include "core/error.h"

namespace shardscope {
namespace {

// Reads one word that begins at `at`, and leaves `at` behind it.
class WordReader {
public:
    WordReader(std::string_view text, const std::string& option) : text_(text), option_(option) {}

    bool skip_blanks() {
        while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
        return at_ < text_.size();
    }

    std::string word() {
        std::string word;
        while (at_ < text_.size() && !std::isspace(static_cast<unsigned char>(text_[at_]))) {
            const char c = text_[at_++];
            if (c == '\'' || c == '"') {
                quoted(c, word);
            } else {
                word += c == '\\' ? next() : c;
            }
        }
        return word;
    }

private:
    void quoted(char quote, std::string& word) {
        for (char c = next(); c != quote; c = next()) {
            const bool escapes = quote == '"' && c == '\\' && at_ < text_.size() &&
                                 std::string_view("\"\\$`").find(text_[at_]) != std::string::npos;
            word += escapes ? next() : c;
        }
    }

    char next() {
        if (at_ < text_.size()) return text_[at_++];
        throw Error("usage", fmt::format("{} \"{}\" ends within a quotation", option_, text_),
                    "close the quotation mark", ErrorKind::io);
    }

    std::string_view text_;
    const std::string& option_;
    std::size_t at_ = 0;
};

bool needs_quotes(const std::string& word) {
    constexpr std::string_view kPlain = "@%+=:,./-_";
    for (const char c : word)
        if (!std::isalnum(static_cast<unsigned char>(c)) && kPlain.find(c) == kPlain.npos)
            return true;
    return word.empty();
}

}  // namespace

std::vector<std::string> split_words(std::string_view text, const std::string& option) {
    std::vector<std::string> words;
    WordReader reader(text, option);
    while (reader.skip_blanks()) words.push_back(reader.word());
    return words;
}

std::string shell_line(const std::vector<std::string>& words) {
    std::string line;
    for (const std::string& word : words) {
        if (!line.empty()) line += ' ';
        if (!needs_quotes(word)) {
            line += word;
            continue;
        }
        line += '\'';
        for (const char c : word) line += c == '\'' ? std::string("'\\''") : std::string(1, c);
        line += '\'';
    }
    return line;
}

}  // namespace shardscope
