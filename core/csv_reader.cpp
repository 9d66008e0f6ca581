#include "core/csv_reader.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "core/error.h"
#include "core/yaml_text.h"

namespace shardscope {
namespace {

class CsvReader {
public:
    CsvReader(std::string_view text, const std::string& file) : text_(text), file_(file) {
        constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
        if (text_.starts_with(kByteOrderMark)) next_ = line_start_ = kByteOrderMark.size();
    }

    std::vector<CsvRow> read() {
        std::vector<CsvRow> rows;
        while (next_ < text_.size()) {
            CsvRow row = read_row();
            const bool empty = row.fields.size() == 1 && row.fields.front().empty();
            if (!empty) rows.push_back(std::move(row));
        }
        return rows;
    }

private:
    [[noreturn]] void fail(const std::string& message, const std::string& fix) const {
        throw Error("csv",
                    fmt::format("{}:{}:{}: {}", file_, line_, next_ - line_start_ + 1, message),
                    fix);
    }

    bool at(char c) const { return next_ < text_.size() && text_[next_] == c; }

    bool at_end_of_line() const {
        if (next_ == text_.size() || at('\n')) return true;
        if (!at('\r')) return false;
        if (next_ + 1 < text_.size() && text_[next_ + 1] == '\n') return true;
        fail("a carriage return that no line feed follows", "end lines in LF or CRLF");
    }

    void end_line() {
        if (at('\r')) ++next_;
        if (at('\n')) ++next_;
        ++line_;
        line_start_ = next_;
    }

    CsvRow read_row() {
        CsvRow row{line_, {}};
        do row.fields.push_back(at('"') ? read_quoted() : read_plain());
        while (skip_comma());
        end_line();
        return row;
    }

    bool skip_comma() {
        if (!at(',')) return false;
        ++next_;
        return true;
    }

    std::string read_plain() {
        const std::size_t first = next_;
        for (; !at(',') && !at_end_of_line(); ++next_)
            if (at('"'))
                fail("a quote inside a field that does not begin with one",
                     "quote the whole field and double the quotes in it");
        return std::string(text_.substr(first, next_ - first));
    }

    std::string read_quoted() {
        const int began = line_;
        std::string field;
        for (++next_;; ++next_) {
            if (next_ == text_.size())
                fail(fmt::format("the quote that opened in line {} is not closed", began),
                     "close it, or double quotes that belong to the text");
            if (at('"')) {
                ++next_;
                if (!at('"')) break;
            }
            field += text_[next_];
            if (at('\n')) {
                ++line_;
                line_start_ = next_ + 1;
            }
        }
        if (!at(',') && !at_end_of_line())
            fail("text behind a closing quote", "double quotes that belong to the text");
        return field;
    }

    std::string_view text_;
    const std::string& file_;
    std::size_t next_ = 0, line_start_ = 0;
    int line_ = 1;
};

void check_columns(const CsvTable& table, const std::string& file) {
    std::vector<std::string> sorted;
    for (const std::string& name : table.columns) {
        if (name.empty())
            throw Error("csv",
                        fmt::format("{}:{}: column {} has no name", file, table.line,
                                    &name - table.columns.data() + 1),
                        "name every column in the first line");
        sorted.push_back(name);
    }
    std::sort(sorted.begin(), sorted.end());
    const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
    if (twice != sorted.end())
        throw Error(
            "csv",
            fmt::format("{}:{}: column \"{}\" is there twice", file, table.line, printable(*twice)),
            "keep one of the two");
}

}  // namespace

CsvTable parse_csv(std::string_view text, const std::string& file) {
    CsvTable table;
    table.rows = CsvReader(text, file).read();
    if (table.rows.empty())
        throw Error("csv", fmt::format("{}: no line with column names", file),
                    "name the columns in the first line");
    table.columns = std::move(table.rows.front().fields);
    table.line = table.rows.front().line;
    table.rows.erase(table.rows.begin());
    check_columns(table, file);
    for (const CsvRow& row : table.rows)
        if (row.fields.size() != table.columns.size())
            throw Error("csv",
                        fmt::format("{}:{}: {} fields, but there are {} columns", file, row.line,
                                    row.fields.size(), table.columns.size()),
                        "separate the fields with commas and quote those that have some; unknown "
                        "values are empty fields");
    return table;
}

}  // namespace shardscope
