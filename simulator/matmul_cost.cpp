#include "simulator/matmul_cost.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace shardscope {
namespace {

// k is walked in steps of 64 bytes per row, two tensor-core instructions deep.
constexpr double kStepBytes = 64;
// Cuts of k that libraries try when C has few tiles. The parts are summed by a second kernel.
constexpr double kCuts[] = {1, 2, 3, 4, 6, 8, 16, 32, 64};
constexpr double kWavesNotCut = 4;        // so many waves leave nothing to gain
constexpr double kPartialBytes = 4;       // parts are fp32, written and read once
constexpr double kSecondKernel = 1.5e-6;  // seconds to start and end the sum

double rounded_up(double value, double step) { return std::ceil(value / step) * step; }

// Power is about proportional to use · clock · voltage², and voltage to the clock: at a fixed power the
// clock goes with the cube root of power over use.
double limited_clock(const Device& device) {
    const double limit = device.power_limit.value, full = device.power.value;
    return limit > 0 && limit < full ? std::cbrt(limit / full) : 1;
}

}  // namespace

MatmulCost::MatmulCost(const Device& device)
    : generation_(generation_of(device.architecture)),
      multiprocessors_(device.multiprocessors),
      clock_(device.clock.value),
      bandwidth_(device.memory_bandwidth.value * device.memory_efficiency),
      limited_clock_(limited_clock(device)) {}

// Clocks of one tile: multiply-adds at the peak, and operands through the feed, which hide each other
// only where neither is near its limit (hence the root of squares).
double MatmulCost::clocks_of(const Tile& tile, double k, const MatmulPrecision& precision) const {
    const double flops_per_clock = precision.peak / (clock_ * multiprocessors_);
    const double compute = 2.0 * tile.m * tile.n * k / (flops_per_clock * tile.multiprocessors);
    const double feed =
        (tile.m + tile.n) * k * precision.operand_bytes / (generation_.feed * tile.multiprocessors);
    return std::hypot(compute, feed);
}

// All tiles of a wave end together, and their results share the memory's bandwidth; the next wave's first
// operands hide a part.
double MatmulCost::result_clocks(const Tile& tile, double bytes) const {
    const double bytes_per_clock = bandwidth_ / clock_ / multiprocessors_ * tile.multiprocessors;
    return generation_.exposed_results * tile.m * tile.n * bytes / bytes_per_clock;
}

double MatmulCost::tiled(const MatmulShape& shape, const MatmulPrecision& precision) const {
    double best = std::numeric_limits<double>::infinity();
    for (const Tile& tile : generation_.tiles) {
        const double slots = std::max(1.0, std::floor(multiprocessors_ / tile.multiprocessors));
        const double blocks =
            shape.batch * std::ceil(shape.m / tile.m) * std::ceil(shape.n / tile.n);
        const double per_k = clocks_of(tile, 1, precision);
        const double result = result_clocks(tile, shape.result_bytes);
        for (const double cuts : kCuts) {
            if (cuts > 1 && blocks >= kWavesNotCut * slots) break;
            const double k = rounded_up(shape.k / cuts, kStepBytes / precision.operand_bytes);
            const double waves = std::ceil(blocks * cuts / slots);
            const double clocks = waves * (per_k * k + generation_.tile_clocks + result);
            double time = (clocks + generation_.start_clocks) / clock_;
            if (cuts > 1)
                time += kSecondKernel +
                        (2 * cuts * shape.batch * shape.m * shape.n * kPartialBytes / bandwidth_);
            best = std::min(best, time);
        }
    }
    return best;
}

double MatmulCost::best_use(const MatmulPrecision& precision) const {
    double best = 0;
    for (const Tile& tile : generation_.tiles) {
        const double compute = 2.0 * tile.m * tile.n /
                               (precision.peak / (clock_ * multiprocessors_)) /
                               tile.multiprocessors;
        best = std::max(best, compute / clocks_of(tile, 1, precision));
    }
    return best;
}

// At the peak's clock the multiply takes t and uses u = F/(P·t) of the tensor cores. The chip sustains
// that clock up to a use; beyond it the clock falls with the cube root of u, such that a multiply that
// uses them as well as tiles allow, u₀, reaches `efficiency`: t·(u₀/efficiency)·∛(u/u₀).
double MatmulCost::seconds(const MatmulShape& shape, const MatmulPrecision& precision) const {
    if (shape.m <= 0 || shape.n <= 0 || shape.k <= 0 || shape.batch <= 0) return 0;
    const double at_peak_clock = tiled(shape, precision);
    const double best = best_use(precision);
    const double use = shape.flops() / (precision.peak * at_peak_clock);
    const double sustained =
        at_peak_clock * best / (precision.efficiency * limited_clock_) * std::cbrt(use / best);
    return std::max(at_peak_clock, sustained);
}

int row_alignment(std::int64_t elements, double element_bytes) {
    // In half bytes, as there are precisions of four bits.
    const auto half_bytes = static_cast<std::int64_t>(2 * element_bytes) * elements;
    int alignment = 16;
    while (alignment > 1 && half_bytes % (2 * alignment) != 0) alignment /= 2;
    return alignment;
}

// Loads of 8, 4 or 2 bytes instead of 16 need as many more instructions, and below 4 bytes none of the
// asynchronous copies into shared memory. The factors are assumptions.
double misalignment_factor(int alignment) {
    if (alignment >= 16) return 1;
    if (alignment >= 8) return 1.25;
    return alignment >= 4 ? 1.6 : 2.2;
}

}  // namespace shardscope
