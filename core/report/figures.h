// Numbers as people read them in tables: one unit per column, chosen by its largest value.
#pragma once

#include <cstdint>
#include <string>

#include "core/units.h"

namespace shardscope {

inline constexpr const char* kUnknown = "–";

// The unit of all memory figures of a table.
class MemoryUnit {
public:
    explicit MemoryUnit(Bytes largest);
    const char* name() const { return mebi_ ? "MiB" : "GiB"; }
    std::string format(Bytes bytes) const;  // "23.41"

private:
    bool mebi_;
};

// The unit of all times of a table, and as many decimals as the largest has use for.
class TimeUnit {
public:
    explicit TimeUnit(Seconds largest);
    const char* name() const { return milli_ ? "ms" : "s"; }
    std::string format(Seconds time) const;  // "12.34"; "–" for NaN

private:
    bool milli_;
    int decimals_;
};

std::string format_count(double value);  // "12,345"; "–" for NaN
std::string format_count(std::int64_t value);
// Of what is no count, three significant digits at least: "0.296", "12.3", "12,345"; "–" as of format_count.
std::string format_amount(double value);
std::string format_percent(double fraction);        // 0.4123: "41.2"
std::string format_difference(std::int64_t value);  // "0", "+1,024", "-64"

}  // namespace shardscope
