// What a simulated result rests on, and how far such results were off.
//
// The errors are those of predictions for published training runs to which the constants were not fitted, by
// profile, architecture and quantity (scenarios/accuracy.csv, which scripts/accuracy writes and the binary
// carries).
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/scenario.h"
#include "core/strategy/strategy.h"
#include "core/units.h"

namespace shardscope {

// One line of the table, or several of them together; errors are fractions of the measured value.
struct AccuracyRow {
    std::string profile, architecture;  // words of scenarios; empty: several
    std::string quantity;               // "time", "allocated", "reserved" or "process"
    std::size_t rows = 0;               // runs that were predicted
    double mape = 0;                    // mean of |predicted / measured − 1|
    double p90 = 0;                     // what nine of ten stay below; of several lines the largest
    double bias = 0;                    // mean of predicted / measured − 1

    bool operator==(const AccuracyRow&) const = default;
};

// `text` is CSV with the columns profile, architecture, quantity, rows, mape, p90, bias, the last three in
// percent; `file` is for messages. Throws Error "csv", "accuracy" with file:line for what is malformed.
std::vector<AccuracyRow> read_accuracy(std::string_view text, const std::string& file);
// What the binary carries.
std::vector<AccuracyRow> shipped_accuracy();

// The runs that are comparable: those of the same profile and architecture, else of the same profile, else
// all. Nothing: the table has nothing of the quantity.
std::optional<AccuracyRow> comparable(const std::vector<AccuracyRow>& table,
                                      std::string_view profile, std::string_view architecture,
                                      std::string_view quantity);

struct Basis {
    // Of comparable runs. Neither is there on CPUs, nor of a strategy that its profile's product cannot run
    // (core/strategy/product_limits.h).
    std::optional<AccuracyRow> time, memory;
    // Where `memory` is of the profile, but of what an allocator held, a part of the peak: of processes of any profile.
    std::optional<AccuracyRow> process;
    // Constants that the cluster's description states otherwise than they were fitted, "training_efficiency 0.95".
    // What depends on them is not comparable: `time`, or `memory`, is empty.
    std::vector<std::string> own;
    std::string constants;  // which were measured, and which are data-sheet values

    bool operator==(const Basis&) const = default;
};

Basis basis_of(const Scenario& scenario, const Strategy& strategy,
               const std::vector<AccuracyRow>& accuracy);

}  // namespace shardscope
