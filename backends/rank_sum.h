// Element-wise sums and maxima over ranks, the arithmetic of every reduction on CPUs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/dtype.h"

namespace shardscope {

// Every target[i] := source[0][i] + source[1][i] + …, added in this order for every element, in the
// elements' own precision (bf16: in fp32, rounded once to nearest even). A target may be one of the
// sources; partial overlap is not allowed. `sources` is not empty.
void sum_in_order(std::span<const std::byte* const> sources, std::span<std::byte* const> targets,
                  std::int64_t elements, DType dtype);

// The same with the largest of the elements; NaN where one of them is.
void maximum_of(std::span<const std::byte* const> sources, std::span<std::byte* const> targets,
                std::int64_t elements, DType dtype);

}  // namespace shardscope
