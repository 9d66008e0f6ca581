// Measures how fast this machine computes and communicates: the numbers behind predictions of thread
// ranks. docs/cost-model.md says how the simulator uses them.
#pragma once

#include <functional>
#include <string>

#include "core/cluster/cluster.h"

namespace shardscope {

struct CalibrateOptions {
    bool quick = false;  // fewer shapes and repeats: seconds instead of half a minute, less exact
};

// Called from the measuring thread with what is being measured and how much is done (0 … 1).
using CalibrateProgress = std::function<void(const std::string& what, double fraction)>;

// A CPU cluster of one node with one rank per core and its calibration filled in. Times
// are processor times of the measuring threads, so that other programs disturb little. Takes about
// 20 s on an idle machine, and some hundred MiB. Throws Error (run_failed) when a kernel does.
Cluster calibrate_this_machine(const CalibrateOptions& options, const CalibrateProgress& progress);

// No peak is below the best rate that was measured of a multiply.
void set_peaks(Device& device);

// Four digits are more than a measurement is worth, and make a file that people can read.
double rounded(double value);
std::string today();  // UTC, "2026-01-31"

}  // namespace shardscope
