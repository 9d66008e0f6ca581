// Times NCCL's collectives and transfers among the GPUs of several processes.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include <cuda_runtime.h>
#include <nccl.h>

#include "backends/communicator.h"
#include "backends/cuda/cuda_options.h"
#include "backends/cuda/device/handles.h"
#include "backends/cuda/measurement.h"

namespace shardscope::cuda {

// A communicator of its own, of all members. Buffers are separate ones for sending and receiving.
class NcclTiming final : public GpuCollectives {
public:
    // `members` carries NCCL's id from the first one, and must outlive it.
    NcclTiming(const CudaOptions& options, Communicator& members);
    ~NcclTiming() override;
    NcclTiming(const NcclTiming&) = delete;
    NcclTiming& operator=(const NcclTiming&) = delete;

    std::vector<GpuCollectiveTime> time(const std::vector<GpuCollective>& cases) override;

private:
    void queue(const GpuCollective& c);
    GpuCollectiveTime time_one(const GpuCollective& c);
    void call(const char* name, ncclResult_t result);  // waits until NCCL has taken the call
    void wait_for_stream();

    Communicator& members_;
    const std::chrono::duration<double> timeout_;
    StreamHandle stream_;
    EventHandle start_, end_;
    DeviceMemory send_, receive_;
    ncclComm_t comm_ = nullptr;
};

}  // namespace shardscope::cuda
