// The product that a measured run was trained with, as its row names it: "Megatron-Core 0.8", "DeepSpeed ZeRO-3".
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/strategy/runtime_profile.h"
#include "core/validation/run_cluster.h"

namespace shardscope {

// Products around Megatron-Core whose recipes set much of what its command line leaves off.
enum class Recipes : std::uint8_t { none, nemo, megatron_bridge };

struct RunFramework {
    std::string_view name;  // docs/validate.md's word for it
    RuntimeProfile profile = RuntimeProfile::shardscope;
    int zero = 0;             // the stage in its name, or what the product does unless it is told
    bool names_zero = false;  // the former
    bool hybrid = false;      // HSDP: shards within nodes
    bool stands_in = false;   // the profile is the nearest product's, not its own
    bool open = false;        // PyTorch's DDP or FSDP: which is not said
    bool plus_plus = false;   // ZeRO++: all three of its parts
    Recipes recipes = Recipes::none;
    // Gradients are reduced in the type of the parameters unless it is told otherwise.
    bool narrow_gradients = false;
    bool partial_recompute = false;  // of some of the blocks
};

// By the column, and what `source` and `assumptions` say of the year and of torch.compile; adds to `assumed` what it
// took from the latter, and where another product's profile stands in. Versions behind a name do not count. Throws Error
// "missing-value", "unknown-name", and "framework" for programs that nothing here describes.
RunFramework framework_of(const MeasuredRun& run, std::vector<Assumption>& assumed);

}  // namespace shardscope
