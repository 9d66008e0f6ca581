#include "core/cluster/cluster.h"

namespace shardscope {

namespace {

// What cluster files state: the scales of fp8 change nothing on the tensor cores.
MathType stated(MathType math) { return math == MathType::fp8_rowwise ? MathType::fp8 : math; }

}  // namespace

const ProfileConstants& Device::constants_of(RuntimeProfile profile) const {
    const auto own = profiles.find(profile);
    return own == profiles.end() ? fitted_constants(profile) : own->second;
}

FlopsPerSecond Device::peak_of(MathType math) const {
    const auto found = peak.find(stated(math));
    return found == peak.end() ? FlopsPerSecond(0) : found->second;
}

double Device::matmul_efficiency_of(MathType math) const {
    const auto found = matmul_efficiencies.find(stated(math));
    return found == matmul_efficiencies.end() ? matmul_efficiency : found->second;
}

}  // namespace shardscope
