// A rank's samples on their way to the GPU: fetched and copied for the next step while this one computes.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <utility>

#include "backends/batch_loader.h"
#include "backends/cuda/device/handles.h"
#include "core/program/program.h"

namespace shardscope::cuda {

// Holds the samples of two steps, on the host and on the device (staged_samples()); one thread at a
// time.
class BatchStage {
public:
    // For steps 0 … steps − 1. Throws Error{run_failed, "out-of-memory"}. `role` must outlive it.
    BatchStage(const RoleProgram& role, BatchLoader loader, std::int64_t steps);

    // Fetches the samples of `step` and starts to copy them, unless that was done, they are those of an
    // earlier step and still there, or there is no
    // such step. Steps come in order,
    // and when step n is prepared, step n − 2 is over on the device.
    void prepare(std::int64_t step);

    // Executes a LoadBatch of the step that was prepared: `stream` waits for the samples and puts them
    // where the operands are. `load` is an instruction of the role.
    void load(cudaStream_t stream, const Compute& load, const Addresses& operands,
              const StepContext& context);

private:
    // Where one LoadBatch of one micro-batch has its samples, from the start of a step's.
    struct Place {
        std::int64_t inputs = 0, input_bytes = 0;
        std::int64_t targets = 0, target_bytes = 0;
    };
    using Places = std::map<std::pair<const Compute*, std::int32_t>, Place>;
    static Places places_of(const RoleProgram& role, std::int64_t& bytes);
    void fetch(std::int64_t step);

    BatchLoader loader_;
    std::int64_t bytes_ = 0;  // of one step
    Places places_;
    PinnedMemory host_;
    DeviceMemory device_;
    StreamHandle copies_;
    std::array<EventHandle, 2> ready_;
    std::array<std::int64_t, 2> held_{-1, -1};  // the step whose samples are in each half
    std::int64_t period_ = 0;                   // of the samples in steps; 0: none
    std::int64_t steps_ = 0;
};

}  // namespace shardscope::cuda
