// One operand of a kernel under test in memory: its elements as they are stored, then a guard that nobody may
// write.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "core/dtype.h"
#include "tests/backends/kernels/kernel_call.h"

namespace shardscope::test {

class StoredOperand {
public:
    // `poison`: elements are not-a-number (−1 as integers) instead of the tensor's values.
    StoredOperand(const Tensor& tensor, DType dtype, bool poison);

    std::byte* address() { return bytes_.empty() ? nullptr : bytes_.data(); }
    // With the guard; empty where the operand is absent.
    std::span<std::byte> bytes() { return bytes_; }
    bool unchanged() const { return bytes_ == before_; }
    bool guard_unchanged() const;
    Values values() const;

private:
    std::size_t size() const { return count_ * static_cast<std::size_t>(size_of(dtype_)); }
    void put(std::size_t i, double value);
    double get(std::size_t i) const;

    DType dtype_;
    std::size_t count_ = 0;
    std::vector<std::byte> bytes_, before_;
};

}  // namespace shardscope::test
