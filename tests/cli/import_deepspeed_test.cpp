// `shardscope import deepspeed`, as a user runs it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/cli/process.h"

namespace shardscope {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;
using ImportDeepSpeed = test::CommandLine;

TEST_F(ImportDeepSpeed, PrintsWhatAFileMeans) {
    const std::string file = test::source("scenarios/tutorial/ds_zero2.json");
    const auto text = shardscope({"import", "deepspeed", file, "--world-size", "4"});
    EXPECT_EQ(text.exit_code, 0) << text.err;
    EXPECT_THAT(text.out, HasSubstr("train_micro_batch_size_per_gpu = 64 // 4 = 16"));
    EXPECT_THAT(text.out, HasSubstr("bucket: 2000000000"));
    const auto as_json = shardscope({"import", "deepspeed", file, "--world-size", "4", "--json"});
    const Json parsed = Json::parse(as_json.out);
    EXPECT_EQ(parsed["batch"]["train_micro_batch_size_per_gpu"], 16);
    EXPECT_EQ(parsed["scenario"]["strategies"][0]["zero"], 2);
    EXPECT_EQ(parsed["zero_optimization"]["reduce_bucket_size"]["default"], "5e8");
}

TEST_F(ImportDeepSpeed, DividesTheWorldByTensorAndPipelineDegrees) {
    const std::string file = test::source("scenarios/tutorial/ds_zero1.json");
    const auto finished = shardscope(
        {"import", "deepspeed", file, "--world-size", "16", "--tp", "2", "--pp", "4", "--json"});
    ASSERT_EQ(finished.exit_code, 0) << finished.err;
    const Json parsed = Json::parse(finished.out);
    EXPECT_EQ(parsed["batch"]["data_parallel"], 2);
    EXPECT_EQ(parsed["scenario"]["strategies"][0]["partition"], "parameters");
}

TEST_F(ImportDeepSpeed, WrongFilesAreOneLineWithExitCode3) {
    write("ds.json", "{\"train_batch_size\": 64, \"zero_optimization\": {\"stge\": 2}}");
    const auto finished = shardscope({"import", "deepspeed", "ds.json"});
    EXPECT_EQ(finished.exit_code, 3);
    EXPECT_EQ(finished.out, "");
    EXPECT_THAT(finished.err, HasSubstr("ds.json:1:48"));
    EXPECT_THAT(finished.err, HasSubstr("use \"stage\""));
    test::expect_one_line_error(finished);
    write("ds.json", "{\"train_batch_size\": 64}");
    const auto pipeline =
        shardscope({"import", "deepspeed", "ds.json", "--world-size", "4", "--pp", "3"});
    EXPECT_EQ(pipeline.exit_code, 3);
    EXPECT_THAT(pipeline.err, HasSubstr("does not divide 4 ranks"));
    EXPECT_EQ(shardscope({"import", "deepspeed", "none.json"}).exit_code, 2);
    EXPECT_EQ(shardscope({"import", "deepspeed", "ds.json", "--world-size", "0"}).exit_code, 2);
}

}  // namespace
}  // namespace shardscope
