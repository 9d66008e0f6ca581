// Files of the source tree that tests hold against the program.
#pragma once

#include <string>

namespace shardscope::test {

// The text of a file, its path relative to the repository; empty, and the test fails, if it cannot be read.
std::string repository_file(const std::string& path);

}  // namespace shardscope::test
