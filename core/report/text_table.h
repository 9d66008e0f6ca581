// Text in aligned columns, for terminals and for golden tests.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace shardscope {

// Character cells that UTF-8 text takes on a terminal: combining marks none, East Asian wide
// characters two, invalid bytes one each.
std::size_t display_width(std::string_view text);

// A header (of one or more lines, separated by '\n'), a rule, and rows. Nothing is cut off: a column
// is as wide as its widest cell. No trailing spaces; every line ends in '\n'.
enum class Colour { none, green, red };

// `text` between the codes that switch a terminal's colour on and off (ECMA-48).
std::string coloured(std::string_view text, Colour colour);

class TextTable {
public:
    enum class Align { left, right };

    void add_column(const std::string& header, Align align = Align::right);
    // One cell per column; missing ones are empty, surplus ones are a fault of the caller (assert).
    // Control characters become spaces.
    void add_row(std::vector<std::string> cells);
    // Of one cell of the row that was added last.
    void set_colour(std::size_t column, Colour colour);

    bool empty() const { return rows_.empty(); }
    // `colours`: for a terminal; else the text is plain.
    std::string to_string(bool colours = false) const;

private:
    struct Column {
        std::vector<std::string> header;  // lines
        Align align;
    };
    struct Row {
        std::vector<std::string> cells;
        std::vector<Colour> colours;  // per cell; empty: none has one
    };
    std::vector<std::size_t> widths() const;
    std::string line(const Row& row, const std::vector<std::size_t>& widths) const;

    std::vector<Column> columns_;
    std::vector<Row> rows_;
};

}  // namespace shardscope
