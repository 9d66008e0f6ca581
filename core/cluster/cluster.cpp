#include "core/cluster/cluster.h"

namespace shardscope {

FlopsPerSecond Device::peak_of(MathType math) const {
    const auto found = peak.find(math == MathType::fp8_rowwise ? MathType::fp8 : math);
    return found == peak.end() ? FlopsPerSecond(0) : found->second;
}

}  // namespace shardscope
