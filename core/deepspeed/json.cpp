#include "core/deepspeed/json.h"

#include <cctype>
#include <string_view>
#include <unordered_map>

#include <fmt/format.h>

#include "core/error.h"
#include "core/yaml_number.h"
#include "core/yaml_text.h"

namespace shardscope {
namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
bool is_punctuation(char c) { return std::string_view("{}[],:").find(c) != std::string_view::npos; }

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// JSON's numbers: no leading zeros or plus, digits on both sides of the point.
bool is_json_number(std::string_view word) {
    const std::string_view digits = word.starts_with('-') ? word.substr(1) : word;
    if (digits.empty() || !is_digit(digits[0])) return false;
    if (digits[0] == '0' && digits.size() > 1 && is_digit(digits[1])) return false;
    const std::size_t point = digits.find('.');
    const bool open =
        point != digits.npos && (point + 1 == digits.size() || !is_digit(digits[point + 1]));
    return !open && parse_number(word);
}

void append_utf8(std::uint32_t code, std::string& out) {
    const auto byte = [&](std::uint32_t bits) { out += static_cast<char>(bits); };
    if (code < 0x80) {
        byte(code);
    } else if (code < 0x800) {
        byte(0xC0 | (code >> 6));
        byte(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        byte(0xE0 | (code >> 12));
        byte(0x80 | ((code >> 6) & 0x3F));
        byte(0x80 | (code & 0x3F));
    } else {
        byte(0xF0 | (code >> 18));
        byte(0x80 | ((code >> 12) & 0x3F));
        byte(0x80 | ((code >> 6) & 0x3F));
        byte(0x80 | (code & 0x3F));
    }
}

// Reads one value after another from the text; recursion is as deep as the nesting, which is limited.
class JsonParser {
public:
    JsonParser(std::string_view text, const std::string& file) : text_(text), file_(file) {}

    YamlNodePtr document() {
        skip_blanks();
        if (at_end())
            throw Error("empty-file", fmt::format("{}:1:1: the file holds no value", file_),
                        "write a DeepSpeed configuration: {\"train_batch_size\": 64, …}");
        if (peek() != '{') fail("the configuration is not a map", "begin it with {");
        const YamlNodePtr root = value(1);
        skip_blanks();
        if (!at_end()) fail("something follows the configuration's last }", "remove it");
        return root;
    }

private:
    using Node = std::shared_ptr<YamlNode>;

    bool at_end() const { return at_ >= text_.size(); }
    char peek(std::size_t ahead = 0) const {
        return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
    }
    void advance() {
        const bool end_of_line = text_[at_] == '\n';
        // A column is a character: bytes that continue one of UTF-8 do not count.
        column_ += (static_cast<unsigned char>(text_[at_]) & 0xC0) != 0x80;
        line_ += end_of_line;
        if (end_of_line) column_ = 1;
        ++at_;
    }

    [[noreturn]] void fail_at(int line, int column, const char* rule, const std::string& message,
                              const std::string& fix) const {
        throw Error(rule, fmt::format("{}:{}:{}: {}", file_, line, column, message), fix);
    }
    [[noreturn]] void fail(const std::string& message, const std::string& fix) const {
        fail_at(line_, column_, "json", message, fix);
    }

    // White space and comments.
    void skip_blanks() {
        while (!at_end()) {
            if (is_space(peek())) {
                advance();
            } else if (peek() == '#' || (peek() == '/' && peek(1) == '/')) {
                while (!at_end() && peek() != '\n') advance();
            } else if (peek() == '/' && peek(1) == '*') {
                skip_block_comment();
            } else {
                return;
            }
        }
    }
    void skip_block_comment() {
        const int line = line_, column = column_;
        advance();
        advance();
        while (!at_end() && !(peek() == '*' && peek(1) == '/')) advance();
        if (at_end()) fail_at(line, column, "json", "a comment that does not end", "close it: */");
        advance();
        advance();
    }

    Node make(YamlNode::Kind kind) {
        if (++nodes_ > kYamlMaxNodes)
            fail_at(line_, column_, "too-large", fmt::format("more than {} values", kYamlMaxNodes),
                    "write fewer values");
        auto node = std::make_shared<YamlNode>();
        node->kind = kind;
        node->line = line_;
        node->column = column_;
        return node;
    }

    Node value(int depth) {
        if (depth > kYamlMaxDepth)
            fail_at(line_, column_, "too-large",
                    fmt::format("nested deeper than {} levels", kYamlMaxDepth),
                    "a configuration needs fewer than ten levels");
        if (peek() == '{') return map(depth);
        if (peek() == '[') return sequence(depth);
        if (peek() == '"' || peek() == '\'') return quoted();
        return unquoted();
    }

    // After a value in a map or list: whether another one follows. A comma may be left out where a line
    // ends, as in Hjson.
    bool another(char end, int line_of_value) {
        skip_blanks();
        const bool comma = peek() == ',';
        if (comma) advance();
        skip_blanks();
        if (at_end()) fail("the file ends early", fmt::format("close it with {}", end));
        if (peek() == end) return false;
        if (!comma && line_ == line_of_value)
            fail(fmt::format("a comma or {} is missing", end), "add it");
        return true;
    }

    Node map(int depth) {
        Node node = make(YamlNode::Kind::map);
        std::unordered_map<std::string, int> lines;
        advance();
        skip_blanks();
        bool more = peek() != '}';
        while (more) {
            Node name = key();
            const auto [earlier, fresh] = lines.emplace(name->text, name->line);
            if (!fresh)
                fail_at(name->line, name->column, "duplicate-key",
                        fmt::format("Duplicate keys in DeepSpeed config: ['{}'] (first in line {})",
                                    printable(name->text), earlier->second),
                        "keep one of the two");
            skip_blanks();
            if (peek() != ':')
                fail(fmt::format("no : after the key \"{}\"", printable(name->text)), "add it");
            advance();
            skip_blanks();
            Node item = value(depth + 1);
            node->weight += item->weight;
            node->entries.push_back({name, item});
            more = another('}', line_);
        }
        if (at_end()) fail("the file ends early", "close it with }");
        advance();
        return node;
    }

    Node sequence(int depth) {
        Node node = make(YamlNode::Kind::sequence);
        advance();
        skip_blanks();
        bool more = peek() != ']';
        while (more) {
            Node item = value(depth + 1);
            node->weight += item->weight;
            node->items.push_back(item);
            more = another(']', line_);
        }
        if (at_end()) fail("the file ends early", "close it with ]");
        advance();
        return node;
    }

    Node key() {
        if (peek() == '"' || peek() == '\'') return quoted();
        Node node = make(YamlNode::Kind::scalar);
        while (!at_end() && !is_space(peek()) && !is_punctuation(peek())) take(node->text);
        if (node->text.empty())
            fail(at_end() ? "the file ends early" : "a key is missing", "write \"key\": value");
        return node;
    }

    // Hjson allows either kind of quotes.
    Node quoted() {
        Node node = make(YamlNode::Kind::scalar);
        node->quoted = true;
        const char quote = peek();
        if (quote == '\'' && peek(1) == '\'' && peek(2) == '\'')
            fail("a multi-line text", "write it in one line, in double quotes");
        advance();
        while (peek() != quote) {
            if (at_end() || peek() == '\n')
                fail_at(node->line, node->column, "json", "a text that does not end in its line",
                        "close the quotes");
            if (peek() == '\\')
                escape(node->text);
            else
                take(node->text);
        }
        advance();
        return node;
    }

    void take(std::string& out) {
        out += peek();
        advance();
    }

    void escape(std::string& out) {
        constexpr std::string_view kLetters = "\"'\\/bfnrt", kMeanings = "\"'\\/\b\f\n\r\t";
        advance();
        if (peek() == 'u') {
            advance();
            append_utf8(code_point(), out);
            return;
        }
        const std::size_t which = at_end() ? kLetters.npos : kLetters.find(peek());
        if (which == kLetters.npos) fail("an unknown escape", "write a backslash as \\\\");
        out += kMeanings[which];
        advance();
    }

    std::uint32_t code_point() {
        const std::uint32_t first = four_digits();
        const bool high = first >= 0xD800 && first < 0xDC00;
        if (high && peek() == '\\' && peek(1) == 'u') {
            advance();
            advance();
            const std::uint32_t second = four_digits();
            if (second >= 0xDC00 && second < 0xE000)
                return 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
        } else if (first < 0xD800 || first >= 0xE000) {
            return first;
        }
        fail("half of a surrogate pair", "write the character itself");
    }

    std::uint32_t four_digits() {
        std::uint32_t code = 0;
        for (int i = 0; i < 4; ++i) {
            const char c = peek();
            if (std::isxdigit(static_cast<unsigned char>(c)) == 0)
                fail("\\u without four hexadecimal digits", "write the character itself");
            code = code * 16 + static_cast<std::uint32_t>(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
            advance();
        }
        return code;
    }

    // A number, true, false or null where that is all that stands before the next mark; else, as in
    // Hjson, a text to the end of the line.
    Node unquoted() {
        Node node = make(YamlNode::Kind::scalar);
        if (at_end()) fail("the file ends early", "write a value");
        if (is_punctuation(peek()))
            fail(fmt::format("{} where a value should be", peek()), "write a value");
        const std::size_t length = literal_length();
        if (length == 0) node->quoted = true;
        const std::size_t end = at_ + (length > 0 ? length : rest_of_line());
        while (at_ < end) take(node->text);
        while (node->quoted && is_space(node->text.back())) node->text.pop_back();
        if (!node->quoted && node->text == "null") {
            node->kind = YamlNode::Kind::null;
            node->text.clear();
        }
        return node;
    }

    std::size_t rest_of_line() const {
        const std::size_t end = text_.find('\n', at_);
        return (end == text_.npos ? text_.size() : end) - at_;
    }

    // 0 where it is a text.
    std::size_t literal_length() {
        std::size_t length = 0;
        while (at_ + length < text_.size() && !is_space(peek(length)) &&
               !is_punctuation(peek(length)) && peek(length) != '#' && peek(length) != '/')
            ++length;
        const std::string_view word = text_.substr(at_, length);
        if (word != "true" && word != "false" && word != "null" && !is_json_number(word)) return 0;
        std::size_t next = length;
        while (is_space(peek(next)) && peek(next) != '\n') ++next;
        const char mark = peek(next);
        if (mark == '"') {
            while (at_ < text_.size() && peek() != '"') advance();
            fail("a comma is missing before this", "add it");
        }
        const bool ends = at_ + next >= text_.size() || mark == '\n' || mark == ',' ||
                          mark == '}' || mark == ']' || mark == '#' || mark == '/';
        return ends ? length : 0;
    }

    std::string_view text_;
    const std::string& file_;
    std::size_t at_ = 0;
    int line_ = 1, column_ = 1;
    std::int64_t nodes_ = 0;
};

}  // namespace

YamlValue parse_deepspeed_json(const std::string& text, const std::string& file) {
    check_text(text, file);
    YamlNodePtr root = JsonParser(text, file).document();
    return {std::move(root), std::make_shared<const std::string>(file), ""};
}

}  // namespace shardscope
