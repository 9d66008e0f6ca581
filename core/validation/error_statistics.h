// How far predictions are from measurements, over many runs.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace shardscope {

struct PredictedAndMeasured {
    std::string id;                      // of the run
    double predicted = 0, measured = 0;  // in the same unit; measured > 0
};

// Of the relative errors e = predicted / measured − 1; fractions, NaN where there is no run.
struct ErrorStatistics {
    std::size_t runs = 0;
    double mape = 0;       // mean of |e|
    double median = 0;     // median of |e|; of an even number the mean of the two in the middle
    double worst = 0;      // largest |e|
    double bias = 0;       // mean of e: negative where predictions are too small
    std::string worst_id;  // of the first run with the largest |e|
};

ErrorStatistics statistics_of(std::span<const PredictedAndMeasured> runs);

}  // namespace shardscope
