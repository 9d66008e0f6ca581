// Expected texts in tests/golden/. With SHARDSCOPE_UPDATE_GOLDEN=1 in the environment a test writes
// what it got instead of comparing; read the difference before committing it.
#pragma once

#include <string>

namespace shardscope::test {

// Fails the current test unless tests/golden/<name> holds exactly `text`.
void expect_golden(const std::string& name, const std::string& text);

}  // namespace shardscope::test
