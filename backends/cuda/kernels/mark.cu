#include "backends/cuda/kernels/mark.h"

namespace shardscope::cuda {
namespace {

__global__ void write_word(std::int32_t* word, std::int32_t value) {
    *static_cast<volatile std::int32_t*>(word) = value;
}

}  // namespace

void mark(std::int32_t* word, std::int32_t value, const LaunchContext& context) {
    launch("mark", write_word, Geometry{}, context, word, value);
}

}  // namespace shardscope::cuda
