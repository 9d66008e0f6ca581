#include "backends/cuda/check/operand_copy.h"

#include <cmath>
#include <limits>
#include <utility>

#include <cuda_runtime.h>

#include "backends/cuda/device/check.h"
#include "backends/stored_numbers.h"

namespace shardscope::cuda {
namespace {

constexpr std::size_t kGuard = 256;
constexpr std::byte kGuardByte{0x5a};

}  // namespace

std::vector<double> initial_values(const OperandContent& content, DType stored,
                                   std::mt19937_64& random) {
    using Kind = OperandContent::Kind;
    std::vector<double> values(static_cast<std::size_t>(content.elements));
    std::normal_distribution<double> normal(0.0, content.high);
    std::uniform_real_distribution<double> uniform(content.low, content.high);
    for (double& value : values) {
        switch (content.kind) {
            case Kind::absent:
            case Kind::written:
                value = std::numeric_limits<double>::quiet_NaN();
                continue;
            case Kind::normal:
                value = normal(random);
                break;
            case Kind::uniform:
                value = uniform(random);
                break;
            case Kind::integers:
                value = std::floor(uniform(random));
                break;
        }
        std::byte bytes[sizeof(double)] = {};
        store_number(stored, bytes, 0, value);
        value = stored_number(stored, bytes, 0);
    }
    return values;
}

OperandCopy::OperandCopy(const std::vector<double>& values, DType stored, int displaced)
    : stored_(stored), count_(values.size()) {
    if (values.empty()) return;
    if (stored != DType::fp64)
        displaced_bytes_ =
            static_cast<std::size_t>(displaced) * static_cast<std::size_t>(size_of(stored));
    before_.assign(first_byte() + bytes() + kGuard, kGuardByte);
    for (std::size_t i = 0; i < count_; ++i)
        store_number(stored, before_.data() + first_byte(), i, values[i]);
    void* memory = nullptr;
    check_allocation(cudaMalloc(&memory, before_.size()), "cudaMalloc",
                     Bytes(static_cast<std::int64_t>(before_.size())));
    memory_ = static_cast<std::byte*>(memory);
    check(cudaMemcpy(memory_, before_.data(), before_.size(), cudaMemcpyHostToDevice),
          "cudaMemcpy");
}

OperandCopy::~OperandCopy() {
    if (memory_) cudaFree(memory_);
}

OperandCopy::OperandCopy(OperandCopy&& other) noexcept
    : stored_(other.stored_),
      count_(other.count_),
      displaced_bytes_(other.displaced_bytes_),
      memory_(std::exchange(other.memory_, nullptr)),
      before_(std::move(other.before_)),
      now_(std::move(other.now_)) {}

std::byte* OperandCopy::address() const { return memory_ ? memory_ + first_byte() : nullptr; }

std::size_t OperandCopy::first_byte() const { return kGuard + displaced_bytes_; }
std::size_t OperandCopy::bytes() const {
    return count_ * static_cast<std::size_t>(size_of(stored_));
}

std::vector<double> OperandCopy::read() {
    now_.resize(before_.size());
    if (memory_)
        check(cudaMemcpy(now_.data(), memory_, now_.size(), cudaMemcpyDeviceToHost), "cudaMemcpy");
    std::vector<double> values(count_);
    for (std::size_t i = 0; i < count_; ++i)
        values[i] = stored_number(stored_, now_.data() + first_byte(), i);
    return values;
}

bool OperandCopy::surroundings_unchanged() const {
    for (std::size_t i = 0; i < now_.size(); ++i)
        if ((i < first_byte() || i >= first_byte() + bytes()) && now_[i] != kGuardByte)
            return false;
    return true;
}

}  // namespace shardscope::cuda
