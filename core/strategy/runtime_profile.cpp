#include "core/strategy/runtime_profile.h"

namespace shardscope {

std::string_view name_of(RuntimeProfile profile) {
    switch (profile) {
        case RuntimeProfile::shardscope:
            return "shardscope";
        case RuntimeProfile::deepspeed:
            return "deepspeed";
        case RuntimeProfile::megatron_deepspeed:
            return "megatron-deepspeed";
        case RuntimeProfile::megatron:
            return "megatron";
        case RuntimeProfile::fsdp:
            return "fsdp";
        case RuntimeProfile::fsdp_compile:
            return "fsdp-compile";
    }
    return "unknown";
}

}  // namespace shardscope
