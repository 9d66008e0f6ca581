#include "core/strategy/runtime_profile.h"

namespace shardscope {

std::string_view name_of(RuntimeProfile profile) {
    switch (profile) {
        case RuntimeProfile::shardscope:
            return "shardscope";
        case RuntimeProfile::deepspeed:
            return "deepspeed";
        case RuntimeProfile::deepspeed_2021:
            return "deepspeed-2021";
        case RuntimeProfile::megatron_deepspeed:
            return "megatron-deepspeed";
        case RuntimeProfile::megatron:
            return "megatron";
        case RuntimeProfile::megatron_2021:
            return "megatron-2021";
        case RuntimeProfile::fsdp:
            return "fsdp";
        case RuntimeProfile::llm_foundry:
            return "llm-foundry";
        case RuntimeProfile::fsdp_compile_blocks:
            return "fsdp-compile-blocks";
        case RuntimeProfile::fsdp_compile:
            return "fsdp-compile";
    }
    return "unknown";
}

Bytes default_bucket(RuntimeProfile profile) {
    switch (profile) {
        case RuntimeProfile::deepspeed:
        case RuntimeProfile::deepspeed_2021:
        case RuntimeProfile::megatron_deepspeed:
            return Bytes(1'000'000'000);
        case RuntimeProfile::megatron:
        case RuntimeProfile::megatron_2021:
            return Bytes(std::int64_t{1} << 40);
        case RuntimeProfile::shardscope:
        case RuntimeProfile::fsdp:
        case RuntimeProfile::llm_foundry:
        case RuntimeProfile::fsdp_compile_blocks:
        case RuntimeProfile::fsdp_compile:
            break;
    }
    return Bytes(25 * 1024 * 1024);
}

}  // namespace shardscope
