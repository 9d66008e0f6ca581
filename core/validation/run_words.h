// What people write in the columns of measured runs, as the words and numbers that docs/validate.md has.
#pragma once

#include <string>
#include <string_view>

namespace shardscope {

// "-", "?", "n/a", "unknown" and the like, in any case: what people write where they do not know.
bool is_unknown_mark(std::string_view text);

// "OOM", "out of memory" and the like, in any case: what people write for a measurement that was not made for it.
bool is_out_of_memory_mark(std::string_view text);

enum class RunWord { framework, precision, mlp, schedule, recompute, attention, memory_kind };

// The column's word that a text stands for: "FlashAttention-2" is "flash". In lower case and with '-', but otherwise
// as it is, where it stands for none; empty where it is a mark of the unknown. Any thread.
std::string usual_word(RunWord column, std::string_view text);

}  // namespace shardscope
