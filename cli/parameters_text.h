// How large a model is, in one phrase.
#pragma once

#include <string>

#include "core/model/model.h"

namespace shardscope {

// "46,702,792,704 parameters", and of a mixture of experts ", 12,879,925,248 of them active".
std::string parameters_text(const Model& model);

}  // namespace shardscope
