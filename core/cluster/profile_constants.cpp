#include "core/cluster/profile_constants.h"

#include <array>

namespace shardscope {
namespace {

// By RuntimeProfile, in its order. Fitted: megatron-deepspeed's four and deepspeed-2021's lists (docs/accuracy.md). The
// others are assumptions: megatron-2021's launch is about megatron-deepspeed's, those of its and DeepSpeed's successors
// lie between it and eager FSDP's (megatron's runs are within 0.1 % as right with any of up to 75 us); deepspeed's
// process is megatron's: with what nccl_memory() counts for tensor, data and pipeline parallelism, some 0.4 GiB on nodes
// of eight A100s, about 2 GiB; FSDP's, with the 0.2 GiB of its ring, 1 GiB. No run with those profiles says what a
// process takes. A launch that waits takes 30 us more
// than others, as it does in megatron-deepspeed. Programs of 2021 have the other constants of their successors.
constexpr std::array<ProfileConstants, kRuntimeProfiles.size()> kFitted{{
    {{}, {}, 0, {}, Seconds(30e-6)},  // shardscope: measured, see `calibrate`
    {Seconds(20e-6), Bytes(1536 * kMiB), 0, {}, Seconds(50e-6)},  // deepspeed
    {Seconds(20e-6), Bytes(1536 * kMiB), 0, BytesPerSecond(38e9),
     Seconds(50e-6)},                                               // deepspeed-2021
    {Seconds(70e-6), Bytes(6016 * kMiB), 25, {}, Seconds(100e-6)},  // megatron-deepspeed
    {Seconds(40e-6), Bytes(1536 * kMiB), 0, {}, Seconds(70e-6)},    // megatron
    {Seconds(75e-6), Bytes(1536 * kMiB), 0, {}, Seconds(105e-6)},   // megatron-2021
    {Seconds(12e-6), Bytes(768 * kMiB), 0, {}, Seconds(42e-6)},     // fsdp
    {Seconds(12e-6), Bytes(768 * kMiB), 0, {}, Seconds(42e-6)},     // llm-foundry
    {Seconds(8e-6), Bytes(768 * kMiB), 0, {}, Seconds(38e-6)},      // fsdp-compile-blocks
    {Seconds(8e-6), Bytes(768 * kMiB), 0, {}, Seconds(38e-6)},      // fsdp-compile
}};

}  // namespace

const ProfileConstants& fitted_constants(RuntimeProfile profile) {
    return kFitted[static_cast<std::size_t>(profile)];
}

}  // namespace shardscope
