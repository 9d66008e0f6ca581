// One operand of a case in device memory, among bytes that nobody may write, and what it was before.
#pragma once

#include <cstddef>
#include <random>
#include <vector>

#include "backends/cuda/check/kernel_case.h"

namespace shardscope::cuda {

// The numbers that a case begins with, as the reference gets them: rounded to the type they are stored
// in. NaN for what is written only.
std::vector<double> initial_values(const OperandContent& content, DType stored,
                                   std::mt19937_64& random);

// Owns the device memory. Not thread-safe. Throws Error{run_failed}.
class OperandCopy {
public:
    // Nothing where `values` is empty.
    OperandCopy(const std::vector<double>& values, DType stored, int displaced);
    ~OperandCopy();
    OperandCopy(OperandCopy&& other) noexcept;
    OperandCopy(const OperandCopy&) = delete;
    OperandCopy& operator=(const OperandCopy&) = delete;
    OperandCopy& operator=(OperandCopy&&) = delete;

    std::byte* address() const;
    // The bytes as they are now, when nothing runs any more.
    std::vector<double> read();
    // Of the last read().
    bool unchanged() const { return now_ == before_; }
    bool surroundings_unchanged() const;

private:
    std::size_t first_byte() const;
    std::size_t bytes() const;

    DType stored_;
    std::size_t count_, displaced_bytes_ = 0;
    std::byte* memory_ = nullptr;
    std::vector<std::byte> before_, now_;
};

}  // namespace shardscope::cuda
