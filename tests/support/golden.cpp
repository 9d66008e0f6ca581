#include "tests/support/golden.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

namespace shardscope::test {

void expect_golden(const std::string& name, const std::string& text) {
    const auto path = std::filesystem::path(SHARDSCOPE_SOURCE_DIR) / "tests" / "golden" / name;
    if (std::getenv("SHARDSCOPE_UPDATE_GOLDEN")) {
        std::ofstream(path, std::ios::binary) << text;
        return;
    }
    std::ifstream file(path, std::ios::binary);
    ASSERT_TRUE(file) << path << " is missing; run with SHARDSCOPE_UPDATE_GOLDEN=1 to write it";
    std::ostringstream expected;
    expected << file.rdbuf();
    EXPECT_EQ(text, expected.str()) << "golden file: " << path;
}

}  // namespace shardscope::test
