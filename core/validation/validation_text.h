// A validation for people: errors by family, then what could not be predicted and why.
#pragma once

#include <string>

#include "core/validation/validation.h"

namespace shardscope {

// Errors in percent; of n runs each: mean and median of |predicted / measured − 1|, the largest and whose it
// is, and the bias, which is below zero where predictions are too small.
std::string validation_text(const Validation& validation);

}  // namespace shardscope
