// Numbers in memory, whatever type they are stored as; for checks that compare devices and types.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>

#include "core/bf16.h"
#include "core/dtype.h"

namespace shardscope {

// Element i of an array of `dtype` that begins at `array`, of any alignment.
inline double stored_number(DType dtype, const std::byte* array, std::size_t i) {
    const auto as = [&]<class T>(T value) {
        std::memcpy(&value, array + i * sizeof(T), sizeof(T));
        return value;
    };
    switch (dtype) {
        case DType::int32:
            return as(std::int32_t{});
        case DType::fp64:
            return as(double{});
        case DType::fp32:
            return static_cast<double>(as(float{}));
        case DType::bf16:
            break;
        case DType::fp16:
        case DType::int8:
            throw std::logic_error("no backend stores fp16 or int8");
    }
    return static_cast<double>(static_cast<float>(as(Bf16())));
}

// Rounds `value` to the type; a NaN becomes −1 among integers.
inline void store_number(DType dtype, std::byte* array, std::size_t i, double value) {
    const auto put = [&]<class T>(T stored) {
        std::memcpy(array + i * sizeof(T), &stored, sizeof(T));
    };
    switch (dtype) {
        case DType::int32:
            return put(std::isnan(value) ? std::int32_t{-1} : static_cast<std::int32_t>(value));
        case DType::fp64:
            return put(value);
        case DType::fp32:
            return put(static_cast<float>(value));
        case DType::bf16:
            return put(Bf16(static_cast<float>(value)));
        case DType::fp16:
        case DType::int8:
            throw std::logic_error("no backend stores fp16 or int8");
    }
}

}  // namespace shardscope
