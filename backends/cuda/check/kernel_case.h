// What the kernel check runs: a kernel, its operands' sizes and contents, and the ways to write them down.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/program/instruction.h"

namespace shardscope::cuda {

// One operand: how many elements, and what they are before the kernel runs.
struct OperandContent {
    enum class Kind : std::uint8_t {
        absent,
        normal,    // normally distributed with deviation `high`
        uniform,   // in [low, high)
        integers,  // below `high`
        written,   // only the kernel writes it: poisoned before
    } kind = Kind::absent;
    std::int64_t elements = 0;
    double low = 0, high = 1;
};

inline OperandContent absent() { return {}; }
inline OperandContent uniform(std::int64_t elements, double low, double high) {
    return {OperandContent::Kind::uniform, elements, low, high};
}
// Few numbers are kept from zero: near it one rounding can be any part of a result's norm.
inline OperandContent normal(std::int64_t elements, double deviation = 1) {
    if (elements < 8) return uniform(elements, 0.5 * deviation, 1.5 * deviation);
    return {OperandContent::Kind::normal, elements, 0, deviation};
}
inline OperandContent integers(std::int64_t elements, std::int64_t below) {
    return {OperandContent::Kind::integers, elements, 0, static_cast<double>(below)};
}
inline OperandContent written(std::int64_t elements) {
    return {OperandContent::Kind::written, elements};
}

struct KernelCase {
    Kernel kernel;
    DType dtype = DType::fp32, gradient = DType::fp32;
    std::string shape;  // for people, "rows 65 · hidden 768"
    std::vector<OperandContent> operands;
    std::int64_t step = 0;  // 0-based
    int data_index = 0, tensor_index = 0;
    // Every operand but scalars begins so many elements behind an aligned address.
    int displaced = 0;
    // A kernel that runs before and writes operands of this one, each device for itself: what it saves is
    // the device's own matter. Its operand i is operand first_operands[i] of this one.
    std::optional<Kernel> first = {};
    std::vector<int> first_operands = {};

    Compute compute(const Kernel& of) const { return {of, dtype, gradient, {}}; }
};

// Every kernel but LoadBatch, in small and awkward shapes: single rows, odd sizes, unaligned addresses, absent
// operands, ranks of a group, accumulation. In fp32, bf16, and bf16 with gradients in fp32 where that makes
// a difference.
std::vector<KernelCase> kernel_cases();

// Kernels in the sizes of GPT-2 (124 million parameters, 16 samples of 1024 tokens) and of Llama 3 8B, for
// their speed, in bf16.
std::vector<KernelCase> timed_cases();

// What these lists are made of, one per file.
using Cases = std::vector<KernelCase>;
void add_elementwise_cases(Cases& cases);
void add_norm_cases(Cases& cases);
void add_matrix_cases(Cases& cases);  // linear layers and attention
void add_token_cases(Cases& cases);   // embeddings and losses
void add_optimizer_cases(Cases& cases);

// Adds a case in fp32 and in bf16, and for kernels of parameter gradients also in bf16 with gradients
// in fp32. What is set in `like` beyond the arguments holds for all.
void add_case(Cases& cases, const Kernel& kernel, const std::string& shape,
              const std::vector<OperandContent>& operands, const KernelCase& like = {});

}  // namespace shardscope::cuda
