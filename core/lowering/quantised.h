// How many neighbours have one scale where ZeRO++ quantises.
#pragma once

#include <cstdint>

namespace shardscope {

// DeepSpeed's: as many blocks of equal size as are at least needed for `target` elements each, in numbers of 8
// (CUDAQuantizer in deepspeed/runtime/zero/partition_parameters.py). `elements` are a multiple of 8.
std::int64_t quantised_block(std::int64_t elements, std::int64_t target);

// Of weights, CUDAQuantizer.target_group_size; of gradients, where DeepSpeed has one block per row or column of
// a matrix, whichever are more (all_to_all_quant_reduce), the width of a row.
constexpr std::int64_t kWeightBlock = 8000, kGradientBlock = 2048;

}  // namespace shardscope
