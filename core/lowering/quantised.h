// How many neighbours have one scale where ZeRO++ quantises, and how operands of multiplies in 8 and 4 bits are kept.
#pragma once

#include <cstdint>

#include "core/dtype.h"

namespace shardscope {

// DeepSpeed's: as many blocks of equal size as are at least needed for `target` elements each, in numbers of 8
// (CUDAQuantizer in deepspeed/runtime/zero/partition_parameters.py). `elements` are a multiple of 8.
std::int64_t quantised_block(std::int64_t elements, std::int64_t target);

// Of weights, CUDAQuantizer.target_group_size; of gradients, where DeepSpeed has one block per row or column of
// a matrix, whichever are more (all_to_all_quant_reduce), the width of a row.
constexpr std::int64_t kWeightBlock = 8000, kGradientBlock = 2048;

// An operand of multiplies as Transformer Engine stores it.
struct OperandFormat {
    int bits = 8;
    std::int64_t block = 0;  // neighbours with one scale, of a byte; 0: one for all
    // Gradients read another copy than the forward pass: a transpose, or numbers whose blocks lie along columns.
    bool two_layouts = true;
    // That copy can be gathered from other ranks; else they send the first and each makes the other
    // (Quantizer::supports_only_rowwise_all_gather).
    bool gathers_columns = false;
    // Scales are those of steps before (DelayedScaling, what Megatron's --fp8-recipe is by default).
    bool delayed = true;
};

// `transposes`: ExecutionTarget::transposes_8_bits.
OperandFormat operand_format(MathType math, bool transposes);

}  // namespace shardscope
