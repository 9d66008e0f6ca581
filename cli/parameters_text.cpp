#include "cli/parameters_text.h"

#include "core/report/figures.h"

namespace shardscope {

std::string parameters_text(const Model& model) {
    const std::string all = format_count(model.parameter_count()) + " parameters";
    if (!model.has_experts()) return all;
    return all + ", " + format_count(model.active_parameter_count()) + " of them active";
}

}  // namespace shardscope
