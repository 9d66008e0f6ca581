// A figure that somebody published of a configuration, to be shown beside ours.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/ids.h"

namespace shardscope {

enum class PublishedQuantity : std::uint8_t {
    step_time,
    tokens_per_s_per_gpu,  // samples, for models without a sequence
    mfu,                   // model FLOPs utilisation
    flops_per_gpu,         // model FLOPs per second and GPU
    // Of the rank that has most, or of the one that is named:
    model_states,     // parameters, gradients and optimizer states (Rajbhandari et al. 2020)
    reserved_memory,  // what the plan or the product's allocator takes
    process_memory,   // and context, libraries, communicators
};
inline constexpr std::array<std::string_view, 7> kPublishedQuantities = {
    "step_time",    "tokens_per_s_per_gpu", "mfu",           "flops_per_gpu",
    "model_states", "reserved_memory",      "process_memory"};

// In which units a quantity can be published, the first being what is meant where none is said.
struct PublishedUnit {
    std::string_view name;
    double factor;  // to seconds, 1/s, fractions, FLOP/s, bytes
};
std::span<const PublishedUnit> units_of(PublishedQuantity quantity);

struct PublishedFigure {
    std::string strategy;  // of the scenario, by name
    PublishedQuantity quantity = PublishedQuantity::step_time;
    double value = 0;          // in `unit`
    std::string unit;          // of units_of(quantity)
    std::optional<Rank> rank;  // of memory; empty: the largest
    std::string source;

    bool operator==(const PublishedFigure&) const = default;
};

double in_base_units(const PublishedFigure& figure);

}  // namespace shardscope
