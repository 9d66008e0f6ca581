// Element types of tensors.
#pragma once

#include <cstdint>
#include <string_view>

namespace shardscope {

// fp16 can be simulated, no backend computes in it. int8: bytes of quantised numbers, two of four bits in each
// or one of eight, and 8-bit optimizer states; simulated too.
enum class DType : std::uint8_t { fp32, fp64, bf16, fp16, int32, int8 };

constexpr std::int64_t size_of(DType t) {
    switch (t) {
        case DType::fp64:
            return 8;
        case DType::bf16:
        case DType::fp16:
            return 2;
        case DType::int8:
            return 1;
        default:
            return 4;
    }
}

std::string_view name_of(DType t);  // "fp32", …

// What a matrix multiply computes in: the storage types, and formats of its operands alone (cast just
// before; some products keep the casts). fp8 has one scale per tensor, fp8_rowwise one per row;
// mxfp8 one per 32 elements (OCP Microscaling 1.0), nvfp4 one per 16.
enum class MathType : std::uint8_t { fp64, fp32, tf32, fp16, bf16, fp8, fp8_rowwise, mxfp8, nvfp4 };
constexpr std::size_t kMathTypes = 9;

std::string_view name_of(MathType t);  // "tf32", "fp8-rowwise", …
MathType math_of(DType t);     // of multiplies whose operands are stored so; int32 and int8: fp32
DType storage_of(MathType t);  // how operands are stored: tf32 in fp32, 8 and 4 bits in bf16

}  // namespace shardscope
