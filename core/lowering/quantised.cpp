#include "core/lowering/quantised.h"

#include <algorithm>

namespace shardscope {

std::int64_t quantised_block(std::int64_t elements, std::int64_t target) {
    std::int64_t blocks = (elements + target - 1) / target;
    while (elements % (8 * blocks) != 0) ++blocks;
    return elements / blocks;
}

OperandFormat operand_format(MathType math, bool transposes) {
    switch (math) {
        case MathType::mxfp8:
            return {8, 32, true, true, false};
        case MathType::nvfp4:
            return {4, 16, true, true, false};
        default:
            return {8, 0, transposes, false, true};
    }
}

}  // namespace shardscope
