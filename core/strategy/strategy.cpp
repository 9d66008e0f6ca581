#include "core/strategy/strategy.h"

#include <array>

#include <fmt/format.h>

#include "core/strategy/presets.h"

namespace shardscope {

std::string_view schedule_name(Schedule schedule) {
    switch (schedule) {
        case Schedule::gpipe:
            return "gpipe";
        case Schedule::one_f_one_b:
            return "1f1b";
        case Schedule::zero_bubble:
            return "zb-h1";
    }
    return "unknown";
}
namespace {

Strategy named(std::string_view name, int zero) {
    Strategy strategy;
    strategy.name = name;
    strategy.zero = zero;
    return strategy;
}

Strategy single() {
    Strategy strategy = named("single", 0);
    strategy.ranks = 1;
    return strategy;
}

}  // namespace

std::string layout_of(const Strategy& strategy, int dp) {
    std::string layout = fmt::format("dp{}", dp);
    if (strategy.tp > 1) layout += fmt::format(" tp{}", strategy.tp);
    if (strategy.pp > 1) layout += fmt::format(" pp{}", strategy.pp);
    if (strategy.zero > 0) layout += fmt::format(" zero{}", strategy.zero);
    return layout;
}

std::span<const Preset> strategy_presets() {
    static const std::array<Preset, 5> kPresets = {{
        {"single", "one rank holds and computes everything", single()},
        {"ddp", "every rank holds the whole model; gradients are all-reduced", named("ddp", 0)},
        {"zero-1", "data parallel with optimizer states sharded", named("zero-1", 1)},
        {"zero-2", "data parallel with optimizer states and gradients sharded", named("zero-2", 2)},
        {"zero-3", "data parallel with parameters sharded too", named("zero-3", 3)},
    }};
    return kPresets;
}

}  // namespace shardscope
