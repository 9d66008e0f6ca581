#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/process.h"

namespace shardscope {
namespace {

using testing::HasSubstr;
using Devices = test::CommandLine;

TEST_F(Devices, SaysWhatIsHereAndWhatIsNotAndWhy) {
    const auto finished = shardscope({"devices"});
    EXPECT_EQ(finished.exit_code, 0) << finished.err;
    EXPECT_THAT(finished.out, HasSubstr("calibration: none; run `shardscope calibrate`"));
    EXPECT_THAT(finished.out,
                HasSubstr("one GPU per rank"));  // cuda_states_test.cpp has the reasons
    for (const char* cluster : {"a100-80gb", "h100-sxm", "h200"})
        EXPECT_THAT(finished.out, HasSubstr(cluster));
}

TEST_F(Devices, ABrokenCalibrationIsNamed) {
    std::filesystem::create_directories(path(".cache/shardscope"));
    write(".cache/shardscope/this-machine.yaml", "nodes: no");
    const auto finished = shardscope({"devices"});
    EXPECT_EQ(finished.exit_code, 0) << finished.err;
    EXPECT_THAT(finished.out, HasSubstr("calibration: unusable: "));
}

}  // namespace
}  // namespace shardscope
