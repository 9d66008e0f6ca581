#include "core/lowering/quantised.h"

#include <algorithm>

namespace shardscope {

std::int64_t quantised_block(std::int64_t elements, std::int64_t target) {
    std::int64_t blocks = (elements + target - 1) / target;
    while (elements % (8 * blocks) != 0) ++blocks;
    return elements / blocks;
}

}  // namespace shardscope
