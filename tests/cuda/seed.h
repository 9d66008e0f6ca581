// The seed of what tests on the host device draw.
#pragma once

#include <cstdint>

#include <gtest/gtest.h>

namespace shardscope::cuda {

// --gtest_random_seed=N repeats a run, whose seed is told where it fails.
inline std::uint64_t seed() {
    return static_cast<std::uint64_t>(::testing::UnitTest::GetInstance()->random_seed());
}

}  // namespace shardscope::cuda
