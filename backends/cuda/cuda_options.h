// What a user can choose of a run on GPUs. Without any vendor's header: cli fills it in.
#pragma once

#include <cstdint>
#include <optional>

#include "core/units.h"

namespace shardscope {

struct CudaOptions {
    enum class Attention : std::uint8_t {
        best,   // cuDNN's where it can be used for bf16, else our own
        own,    // our tiled kernels
        cudnn,  // an error where it cannot be used
    };

    bool tf32 = false;  // fp32 multiplies on tensor cores, inputs rounded to 10 bits of mantissa
    Attention attention = Attention::best;
    bool graphs = true;     // bodies are captured as CUDA graphs and replayed
    int ranks_per_gpu = 1;  // more than one: for correctness only, over sockets
    Seconds timeout{60};    // without any progress, until a run is given up as stuck

    // Where this process is among those of its host: it uses GPU local_rank / ranks_per_gpu of those
    // that are visible, or, where that is another one, `own_device`.
    int local_rank = 0;
    std::optional<int> own_device;

    int device() const { return own_device.value_or(local_rank / ranks_per_gpu); }
};

}  // namespace shardscope
