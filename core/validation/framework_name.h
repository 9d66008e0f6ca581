// Programs that train by way of others ("accelerate + FSDP2", "Axolotl (DeepSpeed ZeRO-3)"), and those that train in ways
// that no profile describes.
#pragma once

#include <string>
#include <string_view>

namespace shardscope {

// A folded name without the words of programs that are thin layers over PyTorch, DeepSpeed or Megatron (accelerate,
// Lightning, TRL, …), without their versions and without what columns say ("+ TP", "Ulysses", "MoE").
struct BareName {
    std::string rest;      // "fsdp2", "deepspeed-zero-3"; empty for such a program alone
    bool wrapped = false;  // there was one
};
BareName bare_name(std::string_view name);

// Programs whose FSDP reduces gradients in the type that it computes in (accelerate's set_mixed_precision: reduce_dtype is
// param_dtype; Lightning's FSDPPrecision), those around them among them.
bool reduces_as_it_computes(std::string_view name);

// Why what is named so cannot be predicted: "runs on JAX and XLA, whose kernels are not modelled". Empty for other names.
std::string_view why_not_modelled(std::string_view name);

}  // namespace shardscope
