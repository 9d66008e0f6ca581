#include "tests/backends/kernels/stored_operand.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "core/bf16.h"

namespace shardscope::testing {
namespace {

constexpr std::size_t kGuard = 64;
constexpr std::byte kGuardByte{0x5a};

template <class T>
void put_as(std::byte* bytes, std::size_t i, T stored) {
    std::memcpy(bytes + i * sizeof(T), &stored, sizeof(T));
}
template <class T>
T get_as(const std::byte* bytes, std::size_t i) {
    T stored;
    std::memcpy(&stored, bytes + i * sizeof(T), sizeof(T));
    return stored;
}

}  // namespace

StoredOperand::StoredOperand(const Tensor& tensor, DType dtype, bool poison) : dtype_(dtype) {
    if (!tensor.present) return;
    count_ = tensor.values.size();
    bytes_.assign(size() + kGuard, kGuardByte);
    for (std::size_t i = 0; i < count_; ++i)
        put(i, poison ? std::numeric_limits<double>::quiet_NaN() : tensor.values[i]);
    before_ = bytes_;
}

bool StoredOperand::guard_unchanged() const {
    for (std::size_t i = size(); i < bytes_.size(); ++i)
        if (bytes_[i] != kGuardByte) return false;
    return true;
}

Values StoredOperand::values() const {
    Values out(count_);
    for (std::size_t i = 0; i < count_; ++i) out[i] = get(i);
    return out;
}

void StoredOperand::put(std::size_t i, double value) {
    switch (dtype_) {
        case DType::int32:
            return put_as(bytes_.data(), i,
                          std::isnan(value) ? -1 : static_cast<std::int32_t>(value));
        case DType::fp64:
            return put_as(bytes_.data(), i, value);
        case DType::fp32:
            return put_as(bytes_.data(), i, static_cast<float>(value));
        case DType::bf16:
            return put_as(bytes_.data(), i, Bf16(static_cast<float>(value)));
    }
}

double StoredOperand::get(std::size_t i) const {
    switch (dtype_) {
        case DType::int32:
            return get_as<std::int32_t>(bytes_.data(), i);
        case DType::fp64:
            return get_as<double>(bytes_.data(), i);
        case DType::fp32:
            return static_cast<double>(get_as<float>(bytes_.data(), i));
        case DType::bf16:
            break;
    }
    return static_cast<double>(static_cast<float>(get_as<Bf16>(bytes_.data(), i)));
}

}  // namespace shardscope::testing
