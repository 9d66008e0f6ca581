// How long one kernel takes on one device, alone. docs/cost-model.md derives the formulas.
//
// Where the device was measured (Device::calibration) times come from the samples; else from the
// roofline: max(FLOPs / attainable FLOP rate, bytes / attainable bandwidth) + kernel overhead.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "core/cluster/cluster.h"
#include "core/program/instruction.h"
#include "simulator/calibration_names.h"
#include "simulator/interpolation.h"

namespace shardscope {

// Immutable after construction; safe to share between threads.
class CostModel {
public:
    explicit CostModel(const Device& device);

    // Device time of the kernel, host time not included. Throws Error (invalid_input,
    // "device-peak") when the device states no rate for the kernel's precision.
    Seconds kernel(const Compute& compute) const;

    // The same where `threads` cores of a CPU divide the kernel; kernels too short to gain are not
    // divided.
    Seconds kernel(const Compute& compute, int threads) const;

private:
    struct Shape {
        double m = 0, n = 0, k = 0;
    };
    double matmul(const Compute& compute, const Shape& shape) const;
    double epilogue(const Compute& compute) const;
    double memory_bound(double bytes) const;
    double measured(std::string_view name, DType dtype, const CalibrationWork& work,
                    double otherwise) const;
    double roofline(const Compute& compute, double efficiency) const;
    double attainable_flops(MathType math) const;

    DeviceKind kind_;
    std::string name_;
    std::map<MathType, FlopsPerSecond> peak_;
    double matmul_efficiency_, bandwidth_, overhead_, fork_join_;
    std::map<DType, MatmulRates> matmul_;
    std::map<std::pair<std::string, DType>, TimeCurve, std::less<>> kernels_;
};

}  // namespace shardscope
