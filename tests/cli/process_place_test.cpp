#include "cli/process_place.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"

namespace shardscope {
namespace {

using testing::HasSubstr;
using Variables = std::map<std::string, std::string>;
using Transport = ProcessPlace::Transport;

TEST(ProcessPlace, AloneWithoutALauncher) {
    EXPECT_FALSE(process_place({}));
    EXPECT_FALSE(process_place({{"RANK", "1"}})) << "half of what a launcher sets";
    // A batch script is one process, whatever its job has asked for.
    EXPECT_FALSE(process_place({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "8"}}));
}

TEST(ProcessPlace, OpenMpi) {
    const auto place = process_place({{"OMPI_COMM_WORLD_RANK", "3"},
                                      {"OMPI_COMM_WORLD_SIZE", "4"},
                                      {"RANK", "9"},
                                      {"WORLD_SIZE", "10"}});
    ASSERT_TRUE(place);
    EXPECT_EQ(place->transport, Transport::mpi);
    EXPECT_EQ(place->rank, 3);
    EXPECT_EQ(place->size, 4);
}

TEST(ProcessPlace, LaunchAndTorchrun) {
    const auto place = process_place(
        {{"RANK", "1"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "h1"}, {"MASTER_PORT", "1234"}});
    ASSERT_TRUE(place);
    EXPECT_EQ(place->transport, Transport::tcp);
    EXPECT_EQ(place->rank, 1);
    EXPECT_EQ(place->master_addr, "h1");
    EXPECT_EQ(place->master_port, 1234);
}

// torchrun's agent has MASTER_PORT.
TEST(ProcessPlace, TorchrunsAgentStore) {
    Variables variables{{"RANK", "1"},
                        {"WORLD_SIZE", "2"},
                        {"MASTER_ADDR", "h1"},
                        {"MASTER_PORT", "1234"},
                        {"TORCHELASTIC_USE_AGENT_STORE", "True"}};
    EXPECT_EQ(process_place(variables)->master_port, 1235);
    variables["TORCHELASTIC_USE_AGENT_STORE"] = "False";
    EXPECT_EQ(process_place(variables)->master_port, 1234);
}

TEST(ProcessPlace, Srun) {
    Variables variables{{"SLURM_PROCID", "5"}, {"SLURM_STEP_NUM_TASKS", "8"}};
    ASSERT_TRUE(process_place(variables));
    EXPECT_EQ(process_place(variables)->transport, Transport::mpi);
    variables["MASTER_ADDR"] = "node17";
    EXPECT_EQ(process_place(variables)->transport, Transport::tcp);
    EXPECT_EQ(process_place(variables)->master_port, 29500);
}

TEST(ProcessPlace, NonsenseIsRefused) {
    const std::vector<std::pair<Variables, const char*>> faults{
        {{{"RANK", "x"}, {"WORLD_SIZE", "2"}}, "RANK is \"x\", but must be a number from 0 to 1"},
        {{{"RANK", "2"}, {"WORLD_SIZE", "2"}}, "RANK is \"2\", but must be a number from 0 to 1"},
        {{{"RANK", "0"}, {"WORLD_SIZE", "0"}}, "WORLD_SIZE is \"0\""},
        {{{"RANK", "0"}, {"WORLD_SIZE", "2"}}, "MASTER_ADDR is not"},
        {{{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "h"}, {"MASTER_PORT", "99999"}},
         "MASTER_PORT is \"99999\""},
        {{{"OMPI_COMM_WORLD_RANK", "-1"}, {"OMPI_COMM_WORLD_SIZE", "2"}}, "from 0 to 1"}};
    for (const auto& [variables, message] : faults) {
        try {
            process_place(variables);
            FAIL() << message;
        } catch (const Error& error) {
            EXPECT_THAT(error.message, HasSubstr(message));
            EXPECT_EQ(error.exit_code(), 2);
        }
    }
}

}  // namespace
}  // namespace shardscope
