// Which product's way of training a plan follows: what it keeps, sends and launches.
//
// `shardscope` is what our own backends execute; the others can be simulated, not run. What each differs
// in is told where it is used: core/lowering/profile_rules.h (buffers, collectives), core/program (how memory
// is allocated) and simulator/product_kernels.h; docs/profiles.md lists it with sources.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "core/units.h"

namespace shardscope {

enum class RuntimeProfile : std::uint8_t {
    shardscope,
    deepspeed,           // DeepSpeed's engine around a PyTorch model
    deepspeed_2021,      // the same until its version 0.5.8, whose ZeRO 3 gathers weight by weight
    megatron_deepspeed,  // Megatron's layers in DeepSpeed's engine (BLOOM, MT-NLG)
    megatron,            // Megatron-LM with Megatron-Core's optimizer
    megatron_2021,  // as it was published: nothing overlapped, gradients not summed by multiplies
    fsdp,           // PyTorch's FullyShardedDataParallel, eager
    llm_foundry,  // FSDP1 as llm-foundry's Composer drives it: eager, with the loss of flash-attention
    fsdp_compile_blocks,  // the same with torch.compile over each block (torchtitan until 2024)
    fsdp_compile,         // with torch.compile over each block and over the loss (since)
};
inline constexpr std::array kRuntimeProfiles = {RuntimeProfile::shardscope,
                                                RuntimeProfile::deepspeed,
                                                RuntimeProfile::deepspeed_2021,
                                                RuntimeProfile::megatron_deepspeed,
                                                RuntimeProfile::megatron,
                                                RuntimeProfile::megatron_2021,
                                                RuntimeProfile::fsdp,
                                                RuntimeProfile::llm_foundry,
                                                RuntimeProfile::fsdp_compile_blocks,
                                                RuntimeProfile::fsdp_compile};

// DeepSpeed's engine around a PyTorch model, of either time.
constexpr bool is_deepspeed(RuntimeProfile profile) {
    return profile == RuntimeProfile::deepspeed || profile == RuntimeProfile::deepspeed_2021;
}

// Megatron-LM of either time.
constexpr bool is_megatron(RuntimeProfile profile) {
    return profile == RuntimeProfile::megatron || profile == RuntimeProfile::megatron_2021;
}

// With torch.compile over blocks at least.
constexpr bool is_compiled(RuntimeProfile profile) {
    return profile == RuntimeProfile::fsdp_compile_blocks ||
           profile == RuntimeProfile::fsdp_compile;
}

// FullyShardedDataParallel, of either version, compiled or not.
constexpr bool is_fsdp(RuntimeProfile profile) {
    return profile == RuntimeProfile::fsdp || profile == RuntimeProfile::llm_foundry ||
           is_compiled(profile);
}

std::string_view name_of(RuntimeProfile profile);  // "megatron-deepspeed", as scenarios write it

// Of Strategy::bucket: 25 MiB (PyTorch DDP's) for ours; DeepSpeed's reduce_bucket_size, 5e8 elements of
// two bytes; without --overlap-grad-reduce Megatron reduces everything at once. FSDP reduces layer by
// layer, so that its value is never asked for above ZeRO 0.
Bytes default_bucket(RuntimeProfile profile);

}  // namespace shardscope
