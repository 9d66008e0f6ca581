// The colours of memory categories and of the parts of a step, the same in every picture, and in
// scripts/plot-report. Plain numbers, so that models need no colour type of a toolkit.
//
// Okabe and Ito's palette ("Color Universal Design", 2008) in an order in which neighbours stay apart for
// all kinds of colour vision; runtime's grey is darker than theirs for the same reason.
#pragma once

#include <array>
#include <cstdint>

#include "core/program/program.h"

namespace shardscope::gui {

using Rgb = std::uint32_t;  // 0xRRGGBB

constexpr Rgb category_colour(Category category) {
    constexpr std::array<Rgb, kCategories> colours{0x0072B2, 0x56B4E9, 0xE69F00, 0x009E73,
                                                   0xCC79A7, 0xF0E442, 0x6E6E6E};
    return colours[static_cast<std::size_t>(category)];
}

// Only for the capacity line, what does not fit, and errors.
constexpr Rgb kAlertColour = 0xD55E00;

// What a step's time is spent on (StepTime without `wall`).
enum class StepPart : std::uint8_t { compute, exposed_communication, bubble, optimizer };
constexpr std::size_t kStepParts = 4;
constexpr Rgb step_part_colour(StepPart part) {
    constexpr std::array<Rgb, kStepParts> colours{0x009E73, 0xCC79A7, 0xBBBBBB, 0xE69F00};
    return colours[static_cast<std::size_t>(part)];
}

}  // namespace shardscope::gui
