#include "core/published.h"

#include <algorithm>

#include "core/units.h"

namespace shardscope {
namespace {

constexpr PublishedUnit kTimes[] = {{"s", 1}, {"ms", 1e-3}};
constexpr PublishedUnit kRates[] = {{"1/s", 1}};
constexpr PublishedUnit kParts[] = {{"%", 0.01}};
constexpr PublishedUnit kFlops[] = {{"TFLOP/s", 1e12}};
constexpr PublishedUnit kMemories[] = {{"GB", kGB}, {"GiB", kGiB}};

}  // namespace

std::span<const PublishedUnit> units_of(PublishedQuantity quantity) {
    switch (quantity) {
        case PublishedQuantity::step_time:
            return kTimes;
        case PublishedQuantity::tokens_per_s_per_gpu:
            return kRates;
        case PublishedQuantity::mfu:
            return kParts;
        case PublishedQuantity::flops_per_gpu:
            return kFlops;
        case PublishedQuantity::model_states:
        case PublishedQuantity::reserved_memory:
        case PublishedQuantity::process_memory:
            break;
    }
    return kMemories;
}

double in_base_units(const PublishedFigure& figure) {
    const auto units = units_of(figure.quantity);
    const auto unit = std::ranges::find(units, figure.unit, &PublishedUnit::name);
    return figure.value * (unit == units.end() ? units.front() : *unit).factor;
}

}  // namespace shardscope
