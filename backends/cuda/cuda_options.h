// What a user can choose of a run on GPUs. Without any vendor's header: cli fills it in.
#pragma once

#include <cstdint>

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

    int device = 0;  // which GPU this process uses, as CUDA counts those that are visible
};

}  // namespace shardscope
