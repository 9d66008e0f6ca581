#include "core/report/text_table.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstdint>
#include <utility>

namespace shardscope {
namespace {

// The code point at text[at], moving `at` behind it; an invalid byte stands for itself.
std::uint32_t next_code_point(std::string_view text, std::size_t& at) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char first = byte(at++);
    std::size_t more = 0;  // continuation bytes
    if (first >> 5 == 0x06) more = 1;
    if (first >> 4 == 0x0E) more = 2;
    if (first >> 3 == 0x1E) more = 3;
    if (more == 0 || at + more > text.size()) return first;
    std::uint32_t code = first & (0x3FU >> more);
    for (std::size_t i = 0; i < more; ++i) {
        if ((byte(at + i) & 0xC0) != 0x80) return first;
        code = code << 6 | (byte(at + i) & 0x3FU);
    }
    at += more;
    return code;
}

// The blocks of Unicode's EastAsianWidth.txt that are mostly wide, and of combining marks; enough to
// keep a table straight, not a full width database.
std::size_t cells_of(std::uint32_t code) {
    struct Range {
        std::uint32_t first, last;
        std::size_t cells;
    };
    static constexpr std::array<Range, 12> kRanges{{{0x0300, 0x036F, 0},
                                                    {0x1100, 0x115F, 2},
                                                    {0x200B, 0x200F, 0},
                                                    {0x20D0, 0x20FF, 0},
                                                    {0x2E80, 0xA4CF, 2},
                                                    {0xAC00, 0xD7A3, 2},
                                                    {0xF900, 0xFAFF, 2},
                                                    {0xFE00, 0xFE0F, 0},
                                                    {0xFE30, 0xFE6F, 2},
                                                    {0xFF00, 0xFF60, 2},
                                                    {0x1F300, 0x1FAFF, 2},
                                                    {0x20000, 0x3FFFD, 2}}};
    for (const Range& range : kRanges)
        if (code >= range.first && code <= range.last) return range.cells;
    return 1;
}

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }

std::vector<std::string> split_lines(const std::string& text) {
    std::vector<std::string> lines;
    std::size_t begin = 0;
    for (std::size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1)
        lines.push_back(text.substr(begin, end - begin));
    lines.push_back(text.substr(begin));
    return lines;
}

}  // namespace

std::size_t display_width(std::string_view text) {
    std::size_t width = 0;
    for (std::size_t at = 0; at < text.size();) width += cells_of(next_code_point(text, at));
    return width;
}

std::string coloured(std::string_view text, Colour colour) {
    if (colour == Colour::none || text.empty()) return std::string(text);
    const char* const on = colour == Colour::green ? "\033[32m" : "\033[31m";
    return on + std::string(text) + "\033[0m";
}

void TextTable::add_column(const std::string& header, Align align) {
    columns_.push_back({split_lines(header), align});
}

void TextTable::add_row(std::vector<std::string> cells) {
    assert(cells.size() <= columns_.size());
    // Names come from files: a line break or an escape sequence in one must not reach the terminal.
    for (std::string& cell : cells) std::replace_if(cell.begin(), cell.end(), is_control, ' ');
    cells.resize(columns_.size());
    rows_.push_back({std::move(cells), {}});
}

void TextTable::set_colour(std::size_t column, Colour colour) {
    Row& row = rows_.back();
    row.colours.resize(columns_.size(), Colour::none);
    row.colours[column] = colour;
}

std::vector<std::size_t> TextTable::widths() const {
    std::vector<std::size_t> result;
    for (std::size_t c = 0; c < columns_.size(); ++c) {
        std::size_t width = 0;
        for (const std::string& text : columns_[c].header)
            width = std::max(width, display_width(text));
        for (const Row& row : rows_) width = std::max(width, display_width(row.cells[c]));
        result.push_back(width);
    }
    return result;
}

std::string TextTable::line(const Row& row, const std::vector<std::size_t>& widths) const {
    std::string text;
    for (std::size_t c = 0; c < row.cells.size(); ++c) {
        const std::string padding(widths[c] - display_width(row.cells[c]), ' ');
        const Colour colour = row.colours.empty() ? Colour::none : row.colours[c];
        const std::string cell = coloured(row.cells[c], colour);
        if (c > 0) text += "  ";
        text += columns_[c].align == Align::left ? cell + padding : padding + cell;
    }
    text.erase(text.find_last_not_of(' ') + 1);
    return text + '\n';
}

std::string TextTable::to_string(bool colours) const {
    const std::vector<std::size_t> width = widths();
    std::size_t header_lines = 0;
    for (const Column& column : columns_)
        header_lines = std::max(header_lines, column.header.size());
    std::string text;
    for (std::size_t i = 0; i < header_lines; ++i) {
        std::vector<std::string> cells;
        for (const Column& column : columns_) {
            // Shorter headers sit at the bottom, next to their figures.
            const std::size_t skip = header_lines - column.header.size();
            cells.push_back(i < skip ? "" : column.header[i - skip]);
        }
        text += line({std::move(cells), {}}, width);
    }
    std::vector<std::string> rule;
    rule.reserve(width.size());
    for (const std::size_t w : width) rule.emplace_back(w, '-');
    text += line({std::move(rule), {}}, width);
    for (const Row& row : rows_) text += line(colours ? row : Row{row.cells, {}}, width);
    return text;
}

}  // namespace shardscope
