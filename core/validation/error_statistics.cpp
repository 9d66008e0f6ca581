#include "core/validation/error_statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace shardscope {
namespace {

double median_of(std::vector<double> values) {
    const auto middle = values.begin() + std::ssize(values) / 2;
    std::nth_element(values.begin(), middle, values.end());
    if (values.size() % 2 == 1) return *middle;
    return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

}  // namespace

ErrorStatistics statistics_of(std::span<const PredictedAndMeasured> runs) {
    ErrorStatistics statistics;
    statistics.runs = runs.size();
    if (runs.empty()) {
        constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
        statistics.mape = statistics.median = statistics.worst = statistics.bias = kNone;
        return statistics;
    }
    std::vector<double> sizes;
    double errors = 0, absolute = 0;
    for (const PredictedAndMeasured& run : runs) {
        const double error = run.predicted / run.measured - 1;
        errors += error;
        absolute += std::abs(error);
        sizes.push_back(std::abs(error));
    }
    const auto worst = std::max_element(sizes.begin(), sizes.end());
    statistics.worst = *worst;
    statistics.worst_id = runs[static_cast<std::size_t>(worst - sizes.begin())].id;
    statistics.mape = absolute / static_cast<double>(runs.size());
    statistics.bias = errors / static_cast<double>(runs.size());
    statistics.median = median_of(std::move(sizes));
    return statistics;
}

}  // namespace shardscope
