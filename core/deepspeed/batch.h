// DeepSpeed's batch triad: train_batch_size = train_micro_batch_size_per_gpu ·
// gradient_accumulation_steps · data-parallel size, and how it fills in what a file leaves out.
//
// Source: DeepSpeed 0.19, runtime/config.py, _set_batch_related_parameters and _batch_assertion:
// integer divisions first, then the check.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace shardscope {

// What a file gives of it.
struct BatchTriad {
    std::optional<std::int64_t> train;         // samples per optimizer step over all ranks
    std::optional<std::int64_t> micro;         // samples per rank and micro-batch
    std::optional<std::int64_t> accumulation;  // micro-batches per rank and step

    // Whether DeepSpeed can infer the rest: gradient_accumulation_steps alone does not do.
    bool sufficient() const { return train || micro; }
};

struct ResolvedBatch {
    std::int64_t train = 0, micro = 0, accumulation = 0;
    std::string
        inference;  // "gradient_accumulation_steps = 64 // 4 // 8 = 2"; what was filled in, and how
};

inline constexpr std::int64_t kLargestBatch = 1'000'000'000;

// The whole triad on `data_parallel` ≥ 1 ranks. Throws Error "batch" with DeepSpeed's own message, and
// with values that would work; it names no file, that is for the caller. Given values are from 1 to
// kLargestBatch or DeepSpeed's message says that they are not; so is what is inferred.
ResolvedBatch resolve_batch(const BatchTriad& given, std::int64_t data_parallel);

}  // namespace shardscope
