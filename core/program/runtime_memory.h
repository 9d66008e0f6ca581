// Device memory beside the arena: what a rank's process takes on a GPU for the driver, for libraries and
// for communication. Predicted from a description of the device, measured by difference.
#pragma once

#include <cstdint>

#include "core/cluster/cluster.h"
#include "core/program/nccl_memory.h"
#include "core/program/program.h"
#include "core/units.h"

namespace shardscope {

struct RuntimeMemory {
    Bytes context;        // the driver's context, the code of kernels and libraries
    Bytes workspace;      // scratch of streams and libraries, samples on their way to the device
    Bytes communicators;  // NCCL's and DeepEP's buffers
    Bytes total() const { return context + workspace + communicators; }
};

// Of any rank of `role`:
//   context        Device::runtime
//   workspace      Device::workspace for every stream with kernels, and where that is not 0
//                  staged_samples() and, with `cudnn_attention`, the largest cudnn_workspace()
//   communicators  nccl_memory(), and deepep_buffers() of GPUs whose ranks dispatch by it
RuntimeMemory predict_runtime(const Cluster& cluster, const Program& program, std::size_t role,
                              CommunicatorUse use, bool cudnn_attention);

// Buffers that DeepEP allocates for a group, outside of PyTorch's allocator: for every channel of two
// multiprocessors, and every rank of eight or every eight ranks, a queue of tokens with their scales, experts and
// weights (csrc/config.hpp: get_nvl_buffer_size_hint, get_rdma_buffer_size_hint), as long as get_dispatch_config
// and get_combine_config of deep_ep/buffer.py say; of numbers of ranks that are not in their table as of the next.
// `row`: bytes of a token's row, in at least 16 bits whatever it travels in (Megatron-LM's get_hidden_bytes).
Bytes deepep_buffers(std::int64_t row, int ranks);

// What cuDNN's fused attention wants for its backward pass: sums of the query gradients in fp32 and one
// number per query; and where heads share keys, gradients of keys and values of every query head (cuDNN
// frontend 1.32, node/scaled_dot_product_flash_attention.h).
Bytes cudnn_workspace(const AttentionGrad& kernel);

// Device memory of the samples of two steps: those that are computed with, and the next ones.
Bytes staged_samples(const RoleProgram& role);

// Bytes of a micro-batch's samples, and how far apart they are staged.
struct SampleBytes {
    std::int64_t inputs = 0, targets = 0;
    static std::int64_t staged(std::int64_t bytes) { return (bytes + 255) / 256 * 256; }
    std::int64_t staged() const { return staged(inputs) + staged(targets); }
};
SampleBytes sample_bytes(const LoadBatch& load, DType dtype);

}  // namespace shardscope
