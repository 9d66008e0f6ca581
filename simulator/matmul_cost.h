// How long a GPU's tensor cores take to multiply matrices, from the tiles its libraries cut C into.
// docs/cost-model.md derives the formulas.
#pragma once

#include "core/cluster/cluster.h"
#include "core/units.h"
#include "simulator/gpu_generation.h"

namespace shardscope {

// `batch` products C[m,n] = A[m,k]·B[k,n] in one kernel.
struct MatmulShape {
    double m = 0, n = 0, k = 0;
    double batch = 1;
    double result_bytes = 2;  // per element of C, read and written together

    double flops() const { return 2 * batch * m * n * k; }
};

// The precision of a multiply on this device.
struct MatmulPrecision {
    double peak = 0;        // FLOP/s, dense
    double efficiency = 1;  // of the peak that large multiplies sustain (Device::matmul_efficiency)
    double operand_bytes = 2;  // per element of A and B
};

// Immutable after construction; safe to share between threads. Holds no reference to the device.
class MatmulCost {
public:
    explicit MatmulCost(const Device& device);

    // Seconds, without kernel overhead and without waiting for memory; 0 where a dimension is 0. Never
    // longer for fewer rows or columns, a smaller k or batch, a higher peak or bandwidth: of all tiles
    // and cuts of k the fastest counts, and each of them alone is monotone.
    double seconds(const MatmulShape& shape, const MatmulPrecision& precision) const;

    // The part of the peak that a multiply with full waves and a long k would use, were it not for
    // the power limit.
    double best_use(const MatmulPrecision& precision) const;

private:
    double tiled(const MatmulShape& shape, const MatmulPrecision& precision) const;
    double clocks_of(const Tile& tile, double k, const MatmulPrecision& precision) const;
    double result_clocks(const Tile& tile, double bytes) const;

    const GpuGeneration& generation_;
    double multiprocessors_, clock_, bandwidth_;
    double limited_clock_;  // part of the sustained clock that the power limit leaves
};

// The largest power of two that divides the byte length of rows of `elements`, at most 16.
int row_alignment(std::int64_t elements, double element_bytes);

// Time of a multiply with rows so aligned over that of one with whole 16-byte rows.
double misalignment_factor(int alignment);

}  // namespace shardscope
