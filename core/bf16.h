// bfloat16 on the host and on GPUs: a storage type. It converts to float by itself, arithmetic is float's, and
// storing a float rounds it once.
#pragma once

#include <cstdint>

#include "core/host_device.h"

namespace shardscope {

// The upper half of an fp32 number: 8 bits of precision, so that rounding changes a normal number by
// at most 2⁻⁸ of itself. Rounds to nearest, ties to even; NaN stays NaN.
class Bf16 {
public:
    Bf16() = default;  // uninitialised, as float is
    // (The built-in is std::bit_cast, which nvcc takes for a function of the host alone.)
    // Conversions are implicit, as between float and double.
    // NOLINTNEXTLINE(google-explicit-constructor)
    [[gnu::always_inline]] SHARDSCOPE_HD Bf16(float value) : bits_(rounded(value)) {}
    // NOLINTNEXTLINE(google-explicit-constructor)
    [[gnu::always_inline]] SHARDSCOPE_HD operator float() const {
        return __builtin_bit_cast(float, static_cast<std::uint32_t>(bits_) << 16);
    }
    SHARDSCOPE_HD std::uint16_t bits() const { return bits_; }

private:
    [[gnu::always_inline]] SHARDSCOPE_HD static std::uint16_t rounded(float value) {
        const auto bits = __builtin_bit_cast(std::uint32_t, value);
        const std::uint32_t nearest = bits + 0x7FFFu + ((bits >> 16) & 1u);
        // Rounding could carry a NaN's payload away; this one keeps sign and gets quiet.
        const bool is_nan = (bits & 0x7FFFFFFFu) > 0x7F800000u;
        return static_cast<std::uint16_t>((is_nan ? bits | 0x400000u : nearest) >> 16);
    }

    std::uint16_t bits_;
};
static_assert(sizeof(Bf16) == 2);

}  // namespace shardscope
