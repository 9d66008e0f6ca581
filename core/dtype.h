// Element types of tensors.
#pragma once

#include <cstdint>
#include <string_view>

namespace shardscope {

enum class DType : std::uint8_t { fp32, fp64, bf16, int32 };

constexpr std::int64_t size_of(DType t) {
    switch (t) {
        case DType::fp64:
            return 8;
        case DType::bf16:
            return 2;
        default:
            return 4;
    }
}

std::string_view name_of(DType t);  // "fp32", …

}  // namespace shardscope
