// How long one kernel takes on one device, alone. docs/cost-model.md derives the formulas.
//
// In a product's profile the kernel is what it becomes there: product_kernels.h.
//
// Where the device was measured (Device::calibration) times come from the samples. Else a GPU's
// multiplies are timed by their tiles (matmul_cost), attention by its own rates (attention_cost), and
// what moves more bytes than that by the memory (memory_cost); CPUs by the roofline. Kernel overhead is
// added to each.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "core/cluster/cluster.h"
#include "core/program/instruction.h"
#include "core/strategy/runtime_profile.h"
#include "simulator/attention_cost.h"
#include "simulator/calibration_names.h"
#include "simulator/interpolation.h"
#include "simulator/matmul_cost.h"
#include "simulator/memory_cost.h"

namespace shardscope {

// Immutable after construction; safe to share between threads.
class CostModel {
public:
    explicit CostModel(const Device& device, RuntimeProfile profile = RuntimeProfile::shardscope);

    // Device time of the kernel, host time not included. Throws Error (invalid_input,
    // "device-peak") when the device states no rate for the kernel's precision.
    Seconds kernel(const Compute& compute) const;

    // The same where `threads` cores of a CPU divide the kernel; kernels too short to gain are not
    // divided.
    Seconds kernel(const Compute& compute, int threads) const;

private:
    double fused(const Compute& compute) const;
    double linear(const Compute& compute, const MatmulShape& shape) const;
    double tiled(const MatmulShape& shape, const MatmulPrecision& precision) const;
    double attention(const Compute& compute, const AttentionShape& shape, AttentionKind kind) const;
    double orthogonalise(const Orthogonalise& k) const;
    double epilogue(const Compute& compute) const;
    double moving(const KernelCost& cost) const;
    double measured(std::string_view name, DType dtype, const CalibrationWork& work,
                    double otherwise) const;
    MatmulPrecision precision(MathType math) const;

    DeviceKind kind_;
    std::string name_;
    std::map<MathType, MatmulPrecision> precisions_;
    MemoryCost memory_;
    MatmulCost matmul_;
    AttentionCost attention_;
    RuntimeProfile profile_;
    AttentionLibrary library_;
    double overhead_, fork_join_;
    std::map<DType, MatmulRates> rates_;
    std::map<std::pair<std::string, DType>, TimeCurve, std::less<>> kernels_;
};

}  // namespace shardscope
