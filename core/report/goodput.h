// What failures and checkpoints leave of a long run.
//
// Failures of the run's nodes are independent and exponential, so that those of n nodes have the mean
// time M = MTBF / n. Training writes a checkpoint, which takes δ, after every interval τ of work, and at
// its end; a failure costs what was done since the last checkpoint was complete and a restart R, which
// can fail as well. The expected time of a segment of τ is then M·e^(R/M)·(e^((τ+δ)/M) − 1), and the run's
// is the sum over its segments: J. Daly, "A higher order estimate of the optimum checkpoint interval for
// restart dumps", Future Generation Computer Systems 22 (2006), equation 20. Where no interval is given,
// it is the one of equation 37:
//   τ = √(2δM)·(1 + ⅓·√(δ/2M) + ⅑·δ/2M) − δ   for δ < 2M, else M
// whose first term is J. Young's, "A first order approximation to the optimum checkpoint interval",
// Communications of the ACM 17 (1974).
#pragma once

#include <cstdint>

#include "core/units.h"

namespace shardscope {

// What a run is subject to.
struct FailureModel {
    Seconds mtbf;      // M: mean time between failures of the whole run; > 0
    Seconds write;     // δ: of one checkpoint
    Seconds restart;   // R
    Seconds interval;  // τ: work between checkpoints; > 0
};

struct Goodput {
    Seconds mtbf;             // of the run
    Bytes checkpoint;         // of all ranks together
    Seconds write, interval;  // of a checkpoint, between checkpoints
    bool best_interval = false;
    Seconds restart;
    Seconds expected;     // time of the run
    double part = 0;      // goodput: time without failures and checkpoints over that
    double failures = 0;  // expected: they come every M, so `expected` / M
    // Of simulated runs: the times that 5, 50 and 95 % of them stay below, and the mean with its standard
    // error. No runs: they would fail too often to be counted out.
    int runs = 0;
    Seconds p5, p50, p95, mean, standard_error;

    bool operator==(const Goodput&) const = default;
};

Seconds best_checkpoint_interval(Seconds write, Seconds mtbf);

// A run that is expected to take more than this many times what it would take without failures, its
// checkpoints included, hardly ever ends: the formula's figure for it says nothing more.
constexpr double kMostSlowdown = 1000;

// Infinite where the run would hardly ever end.
Seconds expected_run_time(Seconds work, const FailureModel& model);

// Fills runs, percentiles, mean and standard error by `runs` independent simulations of the failures. The
// same seed gives the same figures. Leaves runs at 0 where they would have more than some ten million
// failures together.
void simulate_failures(Seconds work, const FailureModel& model, std::uint64_t seed, int runs,
                       Goodput& goodput);

}  // namespace shardscope
