// Stored and computed types: bf16 is computed with in fp32, the others in themselves.
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/bf16.h"

namespace shardscope::cpu {

template <class Stored>
using Real = std::conditional_t<std::is_same_v<Stored, Bf16>, float, Stored>;

// Storing a result does not round it, so that intermediate values may be kept where results go.
template <class Stored>
constexpr bool kStoresExactly = std::is_same_v<Stored, Real<Stored>>;

}  // namespace shardscope::cpu
