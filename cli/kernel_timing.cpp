#include "cli/kernel_timing.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "backends/cpu/kernels/dispatch.h"
#include "core/bf16.h"
#include "core/program/operand_sizes.h"
#include "core/program/operand_types.h"

namespace shardscope {
namespace {

constexpr std::int64_t kRotation = 8 << 20;  // bytes; level-2 caches hold 1 to 2 MiB
constexpr std::int64_t kMostSets = 64;
constexpr std::int64_t kAlignment = 64;

template <class T>
void fill_with(std::byte* at, std::int64_t count, T value) {
    std::fill_n(reinterpret_cast<T*>(at), count, value);
}

// Values as in training: small numbers, no zeros that a kernel might treat apart, no denormals.
void fill(std::byte* at, const OperandSize& size, DType dtype) {
    switch (dtype) {
        case DType::fp32:
            return fill_with(at, size.elements, 0.01f);
        case DType::fp64:
            return fill_with(at, size.elements, 0.01);
        case DType::bf16:
            return fill_with(at, size.elements, Bf16(0.01f));
        case DType::fp16:
        case DType::int8:
            throw std::logic_error("no kernel computes in fp16 or int8");
        case DType::int32:
            break;
    }
    for (std::int64_t i = 0; i < size.elements; ++i)
        reinterpret_cast<std::int32_t*>(at)[i] =
            static_cast<std::int32_t>(i * 2654435761 % size.limit);
}

std::int64_t aligned(std::int64_t bytes) {
    return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

KernelTiming::KernelTiming(const Compute& compute) : compute_(compute) {
    const auto sizes = operand_sizes(compute.kernel);
    const auto types = operand_dtypes(compute);
    const auto room = [&](std::size_t i) { return aligned(sizes[i].elements * size_of(types[i])); };
    std::int64_t bytes = 0;
    for (std::size_t i = 0; i < kMaxOperands; ++i) bytes += room(i);
    const std::int64_t sets =
        std::clamp<std::int64_t>(kRotation / std::max<std::int64_t>(bytes, 1) + 1, 1, kMostSets);
    memory_.resize(static_cast<std::size_t>(sets * bytes + kAlignment));
    const auto address = reinterpret_cast<std::uintptr_t>(memory_.data());
    std::byte* next = memory_.data() + (kAlignment - address % kAlignment) % kAlignment;
    for (std::int64_t set = 0; set < sets; ++set) {
        Addresses& addresses = sets_.emplace_back();
        for (std::size_t i = 0; i < kMaxOperands; ++i) {
            if (sizes[i].elements == 0) continue;
            fill(next, sizes[i], types[i]);
            addresses[i] = next;
            next += room(i);
        }
    }
}

void KernelTiming::call() {
    cpu::Team alone;
    cpu::execute(compute_, sets_[next_], StepContext{}, alone);
    next_ = next_ + 1 < sets_.size() ? next_ + 1 : 0;
}

Seconds KernelTiming::median(const Repeats& repeats) {
    return median_time([this] { call(); }, repeats);
}

}  // namespace shardscope
