#include "backends/cuda/calibration_operands.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <stdexcept>

#include "backends/cuda/device/check.h"
#include "core/bf16.h"
#include "core/program/operand_sizes.h"
#include "core/program/operand_types.h"

namespace shardscope::cuda {
namespace {

constexpr std::int64_t kRotation = std::int64_t{128} << 20;  // bytes; caches hold 50 to 126 MB
constexpr std::int64_t kMostSets = 32;
constexpr std::int64_t kAlignment = 256;
constexpr std::int64_t kBlock = 4 << 20;  // bytes of random numbers, which are repeated

// SplitMix64 (Steele, Lea and Flood, 2014).
class Random {
public:
    std::uint64_t next() {
        std::uint64_t z = state_ += 0x9E3779B97F4A7C15u;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        return z ^ (z >> 31);
    }
    // 0.005 to 0.015: second moments are not negative, and nothing grows or vanishes in repeated calls.
    double small() { return 0.005 + 0.01 * static_cast<double>(next() >> 11) * 0x1p-53; }

private:
    std::uint64_t state_ = 0;
};

template <class T, class Draw>
std::vector<std::byte> block_of(std::int64_t bytes, Draw draw) {
    std::vector<T> values(static_cast<std::size_t>(bytes) / sizeof(T));
    for (T& value : values) value = draw();
    std::vector<std::byte> block(values.size() * sizeof(T));
    std::memcpy(block.data(), values.data(), block.size());
    return block;
}

// The first bytes of an operand; `signs`: whether half of the numbers are negative.
std::vector<std::byte> block_for(const OperandSize& size, DType dtype, bool signs, Random& random) {
    const std::int64_t bytes = std::min(kBlock, size.elements * size_of(dtype));
    const auto number = [&] {
        const double value = random.small();
        return signs && (random.next() & 1) != 0 ? -value : value;
    };
    switch (dtype) {
        case DType::fp32:
            return block_of<float>(bytes, [&] { return static_cast<float>(number()); });
        case DType::fp64:
            return block_of<double>(bytes, number);
        case DType::bf16:
            return block_of<Bf16>(bytes, [&] { return Bf16(static_cast<float>(number())); });
        case DType::fp16:
        case DType::int8:
            throw std::logic_error("no kernel computes in fp16 or int8");
        case DType::int32:
            break;
    }
    return block_of<std::int32_t>(bytes, [&] {
        return static_cast<std::int32_t>(random.next() % static_cast<std::uint64_t>(size.limit));
    });
}

// Copies the block, then what is there, until `bytes` are full.
void fill(std::byte* at, std::int64_t bytes, const std::vector<std::byte>& block,
          cudaStream_t stream) {
    check(cudaMemcpyAsync(at, block.data(), block.size(), cudaMemcpyHostToDevice, stream),
          "cudaMemcpyAsync");
    for (auto full = static_cast<std::int64_t>(block.size()); full < bytes;) {
        const std::int64_t more = std::min(full, bytes - full);
        check(cudaMemcpyAsync(at + full, at, static_cast<std::size_t>(more),
                              cudaMemcpyDeviceToDevice, stream),
              "cudaMemcpyAsync");
        full += more;
    }
}

std::int64_t rounded(std::int64_t bytes) {
    return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// The optimizer's states and what it divides by are not negative.
bool has_signs(const Kernel& kernel) { return !std::holds_alternative<OptimizerStep>(kernel); }

}  // namespace

CalibrationOperands::CalibrationOperands(const Compute& instruction, cudaStream_t stream) {
    const auto sizes = operand_sizes(instruction.kernel);
    const auto types = operand_dtypes(instruction);
    const auto room = [&](std::size_t i) { return sizes[i].elements * size_of(types[i]); };
    std::int64_t bytes = 0;
    for (std::size_t i = 0; i < kMaxOperands; ++i) bytes += rounded(room(i));
    const std::int64_t sets =
        std::clamp<std::int64_t>(kRotation / std::max<std::int64_t>(bytes, 1) + 1, 1, kMostSets);
    memory_ = allocate_device(Bytes(sets * bytes));
    std::byte* next = memory_.get();
    Random random;
    for (std::int64_t set = 0; set < sets; ++set) {
        Addresses& addresses = sets_.emplace_back();
        for (std::size_t i = 0; i < kMaxOperands; ++i) {
            if (sizes[i].elements == 0) continue;
            addresses[i] = next;
            next += rounded(room(i));
        }
    }
    for (std::size_t i = 0; i < kMaxOperands; ++i) {
        if (sizes[i].elements == 0) continue;
        const auto block = block_for(sizes[i], types[i], has_signs(instruction.kernel), random);
        for (const Addresses& addresses : sets_) fill(addresses[i], room(i), block, stream);
        check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");  // the block is ours
    }
}

}  // namespace shardscope::cuda
