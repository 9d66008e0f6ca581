// CSV as RFC 4180 has it, read strictly: fields may be quoted, and then hold separators, line breaks and
// doubled quotes. Lines end in LF or CRLF; the last one need not. Empty lines and a byte order mark are
// left out.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace shardscope {

struct CsvRow {
    int line = 0;  // of the file, from 1, where the row begins
    std::vector<std::string> fields;
};

struct CsvTable {
    std::vector<std::string> columns;  // the first row; names are unique
    int line = 0;                      // where that row begins
    std::vector<CsvRow> rows;          // each with as many fields as there are columns
};

// `file` is for messages. Throws Error "csv" with file:line:column (bytes, from 1) for quotes that are not
// closed or not where RFC 4180 has them, a carriage return by itself, a row with too few or too many
// fields, and a header that is missing or names a column twice or not at all.
CsvTable parse_csv(std::string_view text, const std::string& file);

}  // namespace shardscope
