#include "simulator/attention_cost.h"

#include <algorithm>
#include <cmath>

namespace shardscope {
namespace {

// A block of queries that one multiprocessor works on, and the head sizes that kernels are made for.
constexpr double kQueries = 128;
constexpr double kHeadStep = 32;

// Batched multiplies whose rows are not whole 16-byte pieces run on the CUDA cores, and there at about
// half of the fp32 peak. Structural fact of BLOOM's sweep on A100 (docs/cost-model.md): head sizes of
// 108 and 150 cost a third of a step in which attention does 2.5 % of the FLOPs.
constexpr double kMisalignedUse = 0.55;

double rate_of(const AttentionRates& rates, double head_dim, bool backward) {
    const double small = backward ? rates.backward_64 : rates.forward_64;
    const double large = backward ? rates.backward_128 : rates.forward_128;
    return small + (large - small) * std::clamp((head_dim - 64) / 64, 0.0, 1.0);
}

}  // namespace

AttentionCost::AttentionCost(const Device& device)
    : matmul_(device),
      generation_(generation_of(device.architecture)),
      multiprocessors_(device.multiprocessors) {}

// The part of the peak falls with short sequences, whose diagonal blocks, first loads and last stores
// weigh more; and with fewer blocks than multiprocessors.
double AttentionCost::fused(const AttentionShape& shape, double flops,
                            const MatmulPrecision& precision, AttentionLibrary library) const {
    if (!(flops > 0)) return 0;
    const AttentionRates& rates = rates_of(generation_, library);
    const auto head_dim = static_cast<double>(shape.head_dim);
    const double padded = std::ceil(head_dim / kHeadStep) * kHeadStep / head_dim;
    const double rate = precision.peak * rate_of(rates, head_dim, shape.backward) * shape.rate;
    const double ramp = 1 + rates.half_sequence / shape.keys;
    const double blocks = shape.samples * shape.heads * std::max(1.0, shape.queries / kQueries);
    return flops * padded * ramp / rate * std::max(1.0, multiprocessors_ / blocks);
}

double AttentionCost::unfused(const AttentionShape& shape, const MatmulPrecision& precision,
                              const MatmulPrecision& fp32) const {
    const bool aligned =
        precision.operand_bytes > 2 || row_alignment(shape.head_dim, precision.operand_bytes) >= 16;
    MatmulPrecision used = aligned ? precision : fp32;
    if (!aligned) used.efficiency = kMisalignedUse;
    const double batch = shape.samples * shape.heads, s = shape.keys;
    const auto d = static_cast<double>(shape.head_dim),
               v = shape.value_dim > 0 ? static_cast<double>(shape.value_dim) : d;
    const double result = precision.operand_bytes;
    const auto square = [&](double k) { return matmul_.seconds({s, s, k, batch, result}, used); };
    const auto wide = [&](double n) { return matmul_.seconds({s, n, s, batch, result}, used); };
    return shape.backward ? square(v) + wide(v) + 2 * wide(d) : square(d) + wide(v);
}

}  // namespace shardscope
