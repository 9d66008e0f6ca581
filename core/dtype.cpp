#include "core/dtype.h"

namespace shardscope {

std::string_view name_of(DType t) {
    switch (t) {
        case DType::fp32:
            return "fp32";
        case DType::fp64:
            return "fp64";
        case DType::bf16:
            return "bf16";
        case DType::int32:
            return "int32";
    }
    return "?";
}

}  // namespace shardscope
