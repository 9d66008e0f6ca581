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
        case Schedule::zero_bubble_v:
            return "zb-v";
    }
    return "unknown";
}

std::string_view name_of(ContextKind kind) {
    switch (kind) {
        case ContextKind::ring:
            return "ring";
        case ContextKind::all_gather:
            return "all-gather";
        case ContextKind::ulysses:
            return "ulysses";
    }
    return "unknown";
}

std::string_view name_of(TensorOverlap overlap) {
    switch (overlap) {
        case TensorOverlap::none:
            return "none";
        case TensorOverlap::gradients:
            return "gradients";
        case TensorOverlap::pieces:
            return "pieces";
    }
    return "unknown";
}

std::string_view name_of(Dispatcher dispatcher) {
    switch (dispatcher) {
        case Dispatcher::all_to_all:
            return "alltoall";
        case Dispatcher::all_gather:
            return "allgather";
        case Dispatcher::deepep:
            return "deepep";
    }
    return "unknown";
}

std::string_view name_of(DispatchPrecision precision) {
    switch (precision) {
        case DispatchPrecision::stored:
            return "stored";
        case DispatchPrecision::fp8:
            return "fp8";
    }
    return "unknown";
}

std::string dispatch_text(const Strategy& s) {
    std::string text;
    const bool narrow = s.dispatch_precision != DispatchPrecision::stored;
    if (s.dispatcher != Dispatcher::all_to_all || narrow)
        text += fmt::format(", {} dispatch", name_of(s.dispatcher));
    if (narrow) text += fmt::format(" in {}", name_of(s.dispatch_precision));
    if (s.overlap_shared_experts) text += ", overlapped shared experts";
    return text;
}

std::string zero_plus_plus_text(const Strategy& strategy) {
    std::string text;
    if (strategy.quantized_weights) text += " qwz";
    if (strategy.secondary_shard > 0) text += fmt::format(" hpz{}", strategy.secondary_shard);
    if (strategy.secondary_shard < 0) text += " hpz node";
    if (strategy.quantized_gradients) text += " qgz";
    return text;
}

std::string_view name_of(OffloadTo to) {
    switch (to) {
        case OffloadTo::none:
            return "none";
        case OffloadTo::cpu:
            return "cpu";
        case OffloadTo::nvme:
            return "nvme";
    }
    return "unknown";
}

std::string offload_text(const Offload& offload) {
    std::string text;
    const auto add = [&](const char* what, OffloadTo to) {
        if (to == OffloadTo::none) return;
        text += fmt::format("{} {} to {}", text.empty() ? "offload" : ",", what, name_of(to));
    };
    add("optimizer", offload.optimizer);
    add("parameters", offload.parameters);
    add("activations", offload.activations);
    return text;
}

namespace {

ContextKind context_kind_of(RuntimeProfile profile) {
    switch (profile) {
        case RuntimeProfile::deepspeed:
        case RuntimeProfile::deepspeed_2021:
        case RuntimeProfile::megatron_deepspeed:
            return ContextKind::ulysses;
        case RuntimeProfile::fsdp:
        case RuntimeProfile::llm_foundry:
        case RuntimeProfile::fsdp_compile_blocks:
        case RuntimeProfile::fsdp_compile:
            return ContextKind::all_gather;
        case RuntimeProfile::shardscope:
        case RuntimeProfile::megatron:
        case RuntimeProfile::megatron_2021:
            break;
    }
    return ContextKind::ring;
}

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

// What is not the profile's way.
std::string overlap_text(const Strategy& s) {
    std::string text;
    if (s.tp > 1 && s.tp_overlap) text += fmt::format(", tp overlap {}", name_of(*s.tp_overlap));
    if (s.overlap_reduce) text += *s.overlap_reduce ? ", overlapped reduction" : ", late reduction";
    if (s.overlap_gather) text += ", overlapped gather";
    return text;
}

// The kind where it is not the profile's own.
std::string context_text(const Strategy& s) {
    const bool named = context_kind(s) != context_kind_of(s.profile);
    return fmt::format("cp{}{} ", s.cp, named ? fmt::format(" {}", name_of(context_kind(s))) : "");
}

}  // namespace

ContextKind context_kind(const Strategy& strategy) {
    return strategy.cp_kind.value_or(context_kind_of(strategy.profile));
}

TensorOverlap tensor_overlap(const Strategy& strategy) {
    return strategy.tp_overlap.value_or(strategy.profile == RuntimeProfile::megatron
                                            ? TensorOverlap::gradients
                                            : TensorOverlap::none);
}

bool operator==(const Strategy& a, const Strategy& b) {
    // A field that is new does not compile here until it is compared.
    const auto values = [](const Strategy& s) {
        const auto& [name, tp, cp, cp_kind, pp, ep, etp, dispatcher, dispatch_precision,
                     overlap_shared_experts, dp, ranks, zero, shard_group, quantized_weights,
                     secondary_shard, quantized_gradients, micro_batch, bucket, prefetch, reduce_at,
                     overlap_reduce, overlap_gather, sequence_parallel, tp_overlap, schedule,
                     virtual_stages, partition, recompute, attention, offload, expandable_segments,
                     profile, place] = s;
        return std::tie(name, tp, cp, cp_kind, pp, ep, etp, dispatcher, dispatch_precision,
                        overlap_shared_experts, dp, ranks, zero, shard_group, quantized_weights,
                        secondary_shard, quantized_gradients, micro_batch, bucket, prefetch,
                        reduce_at, overlap_reduce, overlap_gather, sequence_parallel, tp_overlap,
                        schedule, virtual_stages, partition, recompute, attention, offload,
                        expandable_segments, profile);
    };
    return values(a) == values(b);
}

void set_profile(Strategy& strategy, RuntimeProfile profile) {
    if (profile == RuntimeProfile::shardscope) strategy.expandable_segments.reset();
    strategy.profile = profile;
}

Bytes bucket_size(const Strategy& strategy) {
    return strategy.bucket.value_or(default_bucket(strategy.profile));
}

std::string recompute_text(const Recompute& recompute) {
    using enum Recompute::Kind;
    if (recompute.kind == none) return "none";
    if (recompute.kind == selective) return "selective";
    if (recompute.blocks == recompute.every) return "full";
    if (recompute.blocks == 1) return fmt::format("every {}", recompute.every);
    return fmt::format("{} of {}", recompute.blocks, recompute.every);
}

std::string layout_of(const Strategy& strategy, int dp) {
    std::string layout;
    if (strategy.tp > 1) layout += fmt::format("tp{} ", strategy.tp);
    if (strategy.sequence_parallel) layout += "sp ";
    if (strategy.cp > 1) layout += context_text(strategy);
    if (strategy.pp > 1) layout += fmt::format("pp{} ", strategy.pp);
    layout += fmt::format("dp{}", dp);
    if (strategy.ep > 1) layout += fmt::format(" ep{}", strategy.ep);
    if (strategy.etp) layout += fmt::format(" etp{}", *strategy.etp);
    if (strategy.zero > 0) layout += fmt::format(" zero{}", strategy.zero);
    if (strategy.shard_group > 0) layout += fmt::format(" over {}", strategy.shard_group);
    if (strategy.shard_group < 0) layout += " over a node";
    layout += zero_plus_plus_text(strategy);
    if (strategy.pp > 1) layout += fmt::format(" {}", schedule_name(strategy.schedule));
    if (strategy.virtual_stages > 1) layout += fmt::format(" v{}", strategy.virtual_stages);
    if (strategy.attention == AttentionKind::unfused) layout += ", unfused attention";
    if (strategy.recompute.kind != Recompute::Kind::none)
        layout += fmt::format(", recompute {}", recompute_text(strategy.recompute));
    layout += overlap_text(strategy) + dispatch_text(strategy);
    if (strategy.offload.any()) layout += ", " + offload_text(strategy.offload);
    if (strategy.expandable_segments)
        layout += *strategy.expandable_segments ? ", expandable segments" : ", fixed segments";
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
