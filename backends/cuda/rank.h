// One rank of a run on GPUs: its device, executor, interpreter, memory account and times.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "backends/cuda/attention/attention.h"
#include "backends/cuda/batch_stage.h"
#include "backends/cuda/cuda_options.h"
#include "backends/cuda/device_memory.h"
#include "backends/cuda/executor.h"
#include "backends/cuda/matmul/linear.h"
#include "backends/cuda/nccl/communicators.h"
#include "backends/cuda/watchdog.h"
#include "backends/interpreter.h"
#include "backends/live_buffers.h"
#include "backends/process/message_link.h"
#include "backends/rank_run.h"
#include "backends/span_log.h"
#include "core/data/data_source.h"
#include "core/lowering/plan.h"

namespace shardscope::cuda {

// Step 1 is a warm-up, instruction by instruction, and carries the memory account; step 2 makes the
// recordings, step 3 is traced. With graphs all later ones are replayed, and are those that are timed;
// without, step 2 is traced and step 3 timed first. A run of fewer steps times and traces its last.
class CudaRank final : public RankRun {
public:
    // On GPU options.device. All ranks of the plan must call it at the same time. Allocates the arena and
    // draws the initial weights. `plan`, `data` and `link` must outlive it.
    CudaRank(const Plan& plan, const DataSource& data, MessageLink& link,
             const CudaOptions& options);
    // By an exception: ends its communication first, since nothing on the device could be released while
    // an operation there waits for other ranks.
    ~CudaRank() override;

    void run_step(std::int64_t step) override;
    void finish_step() override;
    const StepScalars& scalars() const override { return scalars_; }
    Bytes memory() const override;
    RankState state() override;
    std::string place() const override { return executor_.place(); }
    // Whose attention ran, and what cuBLASLt refused.
    std::vector<std::string> notes() const override;
    RankTrace take_trace(bool with_spans) override;

private:
    StepMode mode_of(std::int64_t step) const;
    bool is_timed(std::int64_t step) const;
    std::int64_t traced_step() const;
    void prepare_kernels();
    void measure_memory();
    MemoryUse memory_use() const;
    StepTime parts_within(Seconds wall) const;

    const Plan& plan_;
    const Rank rank_;
    const CudaOptions options_;
    const RoleProgram& role_;
    const MemoryPlan& memory_plan_;
    DeviceMemoryStages stages_;  // first: it makes the device current
    DeviceShape device_;
    Linears linears_;
    Attentions attentions_;
    Bytes workspace_;  // of attention; later all scratch together
    DeviceMemory attention_workspace_;
    RuntimeMemory measured_;
    std::unique_ptr<NcclCommunicators> communicators_;
    std::unique_ptr<Watchdog> watchdog_;
    BatchStage batches_;
    DeviceMemory arena_;
    CudaExecutor executor_;
    Interpreter interpreter_;
    RankState state_;
    std::unique_ptr<LiveBuffers> account_;
    SpanLog log_;
    StepScalars scalars_;
    std::int64_t step_ = 0;  // that ran last
    Seconds wall_;
    std::vector<Seconds> walls_;  // of the timed steps
    StepTime traced_;
    MemoryUse memory_;
    Bytes grown_;  // device memory taken after the first replay
};

}  // namespace shardscope::cuda
