#include "core/strategy/strategy.h"

#include <array>
#include <tuple>

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

std::string recompute_text(const Recompute& recompute) {
    if (recompute.kind == Recompute::Kind::none) return "";
    if (recompute.kind == Recompute::Kind::selective) return ", recompute selective";
    return recompute.every == 1 ? ", recompute full"
                                : fmt::format(", recompute every {}", recompute.every);
}

}  // namespace

bool operator==(const Strategy& a, const Strategy& b) {
    // A field that is new does not compile here until it is compared.
    const auto values = [](const Strategy& s) {
        const auto& [name, tp, pp, ep, dp, ranks, zero, micro_batch, bucket, prefetch, reduce_at,
                     sequence_parallel, schedule, virtual_stages, partition, recompute, attention,
                     profile, place] = s;
        return std::tie(name, tp, pp, ep, dp, ranks, zero, micro_batch, bucket, prefetch, reduce_at,
                        sequence_parallel, schedule, virtual_stages, partition, recompute,
                        attention, profile);
    };
    return values(a) == values(b);
}

void set_profile(Strategy& strategy, RuntimeProfile profile) {
    if (strategy.bucket == default_bucket(strategy.profile))
        strategy.bucket = default_bucket(profile);
    strategy.profile = profile;
}

std::string layout_of(const Strategy& strategy, int dp) {
    std::string layout;
    if (strategy.tp > 1) layout += fmt::format("tp{} ", strategy.tp);
    if (strategy.sequence_parallel) layout += "sp ";
    if (strategy.pp > 1) layout += fmt::format("pp{} ", strategy.pp);
    layout += fmt::format("dp{}", dp);
    if (strategy.ep > 1) layout += fmt::format(" ep{}", strategy.ep);
    if (strategy.zero > 0) layout += fmt::format(" zero{}", strategy.zero);
    if (strategy.pp > 1) layout += fmt::format(" {}", schedule_name(strategy.schedule));
    if (strategy.virtual_stages > 1) layout += fmt::format(" v{}", strategy.virtual_stages);
    if (strategy.attention == AttentionKind::unfused) layout += ", unfused attention";
    layout += recompute_text(strategy.recompute);
    if (strategy.profile != RuntimeProfile::shardscope)
        layout += fmt::format(", {}", name_of(strategy.profile));
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
