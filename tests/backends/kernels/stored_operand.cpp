#include "tests/backends/kernels/stored_operand.h"

#include <limits>

#include "backends/stored_numbers.h"

namespace shardscope::test {
namespace {

constexpr std::size_t kGuard = 64;
constexpr std::byte kGuardByte{0x5a};

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
    store_number(dtype_, bytes_.data(), i, value);
}

double StoredOperand::get(std::size_t i) const { return stored_number(dtype_, bytes_.data(), i); }

}  // namespace shardscope::test
