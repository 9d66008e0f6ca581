// bfloat16 on the host: a storage type. It converts to float by itself, arithmetic is float's, and
// storing a float rounds it once.
#pragma once

#include <bit>
#include <cstdint>

namespace shardscope {

// The upper half of an fp32 number: 8 bits of precision, so that rounding changes a normal number by
// at most 2⁻⁸ of itself. Rounds to nearest, ties to even; NaN stays NaN.
class Bf16 {
public:
    Bf16() = default;  // uninitialised, as float is
    // Conversions are implicit, as between float and double.
    // NOLINTNEXTLINE(google-explicit-constructor)
    [[gnu::always_inline]] Bf16(float value) : bits_(rounded(value)) {}
    // NOLINTNEXTLINE(google-explicit-constructor)
    [[gnu::always_inline]] operator float() const {
        return std::bit_cast<float>(static_cast<std::uint32_t>(bits_) << 16);
    }
    std::uint16_t bits() const { return bits_; }

private:
    [[gnu::always_inline]] static std::uint16_t rounded(float value) {
        const auto bits = std::bit_cast<std::uint32_t>(value);
        const std::uint32_t nearest = bits + 0x7FFFu + ((bits >> 16) & 1u);
        // Rounding could carry a NaN's payload away; this one keeps sign and gets quiet.
        const bool is_nan = (bits & 0x7FFFFFFFu) > 0x7F800000u;
        return static_cast<std::uint16_t>((is_nan ? bits | 0x400000u : nearest) >> 16);
    }

    std::uint16_t bits_;
};
static_assert(sizeof(Bf16) == 2);

}  // namespace shardscope
