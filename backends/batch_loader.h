// Fills a rank's micro-batches from a data source.
#pragma once

#include <cstdint>
#include <vector>

#include "backends/executor.h"
#include "core/data/data_source.h"
#include "core/lowering/plan.h"

namespace shardscope {

// Which samples one rank sees: sample numbers are global, so every distribution of a global batch
// trains on the same data. Not thread-safe (one loader per rank); the source may be shared.
class BatchLoader {
public:
    BatchLoader() = default;  // loads nothing; load() throws
    BatchLoader(const DataSource& source, const Layout& layout, int data_parallel_index);

    // Executes LoadBatch: operands are inputs and targets.
    void load(const LoadBatch& kernel, DType dtype, const Addresses& operands,
              const StepContext& context);

    // Steps s and s + period() have the same samples; 0: no such number is known.
    std::int64_t period() const;

private:
    const DataSource* source_ = nullptr;
    Layout layout_;
    int data_parallel_index_ = 0;
    std::vector<std::int32_t> tokens_;  // of one sample: inputs, then targets
    std::vector<float> features_;       // of one sample, before conversion to the compute type
};

}  // namespace shardscope
