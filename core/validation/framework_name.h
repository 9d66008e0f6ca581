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
    bool derived =
        false;  // "Megatron-LM-based", "BigScience fork": it is like what it names, not that
};
BareName bare_name(std::string_view name);

// The one product that a name of several is, by docs/validate.md's words: "fsdp2" of "torchtitan-fsdp2", as torchtitan's
// engine is that, and "megatron" of "megatron-core-mcore". Empty where a part is no product's that `known` has. Throws
// Error "framework" where two of them exclude each other: "fsdp-megatron".
std::string one_product(std::string_view name, bool (*known)(std::string_view));

// Programs whose FSDP reduces gradients in the type that it computes in (accelerate's set_mixed_precision: reduce_dtype is
// param_dtype; Lightning's FSDPPrecision), those around them among them.
bool reduces_as_it_computes(std::string_view name);

// Why what is named so cannot be predicted: "runs on JAX and XLA, whose kernels are not modelled". Empty for other names.
std::string_view why_not_modelled(std::string_view name);

}  // namespace shardscope
