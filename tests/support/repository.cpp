#include "tests/support/repository.h"

#include <fstream>
#include <iterator>

#include <gtest/gtest.h>

namespace shardscope::test {

std::string repository_file(const std::string& path) {
    std::ifstream file(std::string(SHARDSCOPE_SOURCE_DIR) + "/" + path, std::ios::binary);
    EXPECT_TRUE(file) << path;
    return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace shardscope::test
