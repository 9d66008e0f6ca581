// Result files: either complete or not there.
#pragma once

#include <string>

namespace shardscope {

// Whether two paths lead to the same file, which need not exist.
bool same_file(const std::string& a, const std::string& b);

// Throws Error (io, rule "output") when write_atomically would fail for want of a folder or of
// permission. Called before long work; leaves nothing behind.
void check_writable(const std::string& path);

// Writes beside `path` and renames, so that readers see the old file or the whole new one and a
// failure leaves no trace. Pipes and devices are written to directly. Throws Error (io, "output").
void write_atomically(const std::string& path, const std::string& text);

}  // namespace shardscope
