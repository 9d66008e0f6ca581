#include "core/dtype.h"

#include <array>

namespace shardscope {

std::string_view name_of(DType t) {
    switch (t) {
        case DType::fp32:
            return "fp32";
        case DType::fp64:
            return "fp64";
        case DType::bf16:
            return "bf16";
        case DType::fp16:
            return "fp16";
        case DType::int32:
            return "int32";
        case DType::int8:
            return "int8";
    }
    return "?";
}

std::string_view name_of(MathType t) {
    constexpr std::array<std::string_view, kMathTypes> kNames = {
        "fp64", "fp32", "tf32", "fp16", "bf16", "fp8", "fp8-rowwise", "mxfp8", "nvfp4"};
    return kNames[static_cast<std::size_t>(t)];
}

MathType math_of(DType t) {
    switch (t) {
        case DType::fp64:
            return MathType::fp64;
        case DType::bf16:
            return MathType::bf16;
        case DType::fp16:
            return MathType::fp16;
        case DType::fp32:
        case DType::int32:
        case DType::int8:
            break;
    }
    return MathType::fp32;
}

DType storage_of(MathType t) {
    switch (t) {
        case MathType::fp64:
            return DType::fp64;
        case MathType::fp32:
        case MathType::tf32:
            return DType::fp32;
        case MathType::fp16:
            return DType::fp16;
        default:
            return DType::bf16;
    }
}

}  // namespace shardscope
