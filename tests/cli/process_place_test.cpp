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

TEST(ProcessPlace, MpichAndIntel) {
    Variables variables{
        {"PMI_RANK", "2"}, {"PMI_SIZE", "4"}, {"MPI_LOCALRANKID", "1"}, {"MASTER_ADDR", "h1"}};
    ASSERT_TRUE(process_place(variables));
    EXPECT_EQ(process_place(variables)->transport, Transport::tcp);
    EXPECT_EQ(process_place(variables)->rank, 2);
    EXPECT_EQ(process_place(variables)->size, 4);
    EXPECT_EQ(process_place(variables)->local_rank, 1);
    EXPECT_EQ(process_place(variables)->master_addr, "h1");
    // hydra's helpers inside a Slurm job are srun's tasks, one per host.
    variables.insert({{"SLURM_PROCID", "0"}, {"SLURM_STEP_NUM_TASKS", "2"}});
    EXPECT_EQ(process_place(variables)->rank, 2);
    // srun itself sets PMI's variables too, but no MPI_LOCALRANKID.
    variables.erase("MPI_LOCALRANKID");
    EXPECT_EQ(process_place(variables)->launcher, "srun");
}

TEST(ProcessPlace, RanksOfAHost) {
    const auto local = [](const Variables& variables) {
        return process_place(variables)->local_rank;
    };
    Variables torchrun{{"RANK", "5"}, {"WORLD_SIZE", "8"}, {"MASTER_ADDR", "h"}};
    EXPECT_EQ(local(torchrun), std::nullopt);
    torchrun["LOCAL_RANK"] = "1";
    EXPECT_EQ(local(torchrun), 1);
    EXPECT_EQ(local({{"OMPI_COMM_WORLD_RANK", "3"},
                     {"OMPI_COMM_WORLD_SIZE", "4"},
                     {"OMPI_COMM_WORLD_LOCAL_RANK", "2"}}),
              2);
    EXPECT_EQ(local({{"SLURM_PROCID", "5"}, {"SLURM_STEP_NUM_TASKS", "8"}, {"SLURM_LOCALID", "3"}}),
              3);
}

// Whatever started them, ranks can meet by a file.
TEST(ProcessPlace, AFile) {
    const std::vector<Variables> launchers{
        {{"OMPI_COMM_WORLD_RANK", "1"}, {"OMPI_COMM_WORLD_SIZE", "2"}},
        {{"RANK", "1"}, {"WORLD_SIZE", "2"}},
        {{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}},
        {{"SLURM_PROCID", "1"}, {"SLURM_STEP_NUM_TASKS", "2"}}};
    for (Variables variables : launchers) {
        variables["SHARDSCOPE_RENDEZVOUS"] = "file:///shared/run 7";
        const auto place = process_place(variables);
        ASSERT_TRUE(place);
        EXPECT_EQ(place->transport, Transport::tcp) << place->launcher;
        EXPECT_EQ(place->meeting_file, "/shared/run 7") << place->launcher;
        EXPECT_EQ(place->rank, 1);
    }
}

TEST(ProcessPlace, NonsenseIsRefused) {
    const std::vector<std::pair<Variables, const char*>> faults{
        {{{"RANK", "x"}, {"WORLD_SIZE", "2"}}, "RANK is \"x\", but must be a number from 0 to 1"},
        {{{"RANK", "2"}, {"WORLD_SIZE", "2"}}, "RANK is \"2\", but must be a number from 0 to 1"},
        {{{"RANK", "0"}, {"WORLD_SIZE", "0"}}, "WORLD_SIZE is \"0\""},
        {{{"RANK", "0"}, {"WORLD_SIZE", "2"}}, "MASTER_ADDR is not"},
        {{{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "h"}, {"MASTER_PORT", "99999"}},
         "MASTER_PORT is \"99999\""},
        {{{"PMI_RANK", "0"}, {"PMI_SIZE", "2"}}, "MASTER_ADDR is not"},
        {{{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"SHARDSCOPE_RENDEZVOUS", "tcp://h"}},
         "SHARDSCOPE_RENDEZVOUS is \"tcp://h\""},
        {{{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"SHARDSCOPE_RENDEZVOUS", "file://here"}},
         "SHARDSCOPE_RENDEZVOUS is \"file://here\""},
        {{{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "h"}, {"LOCAL_RANK", "2"}},
         "LOCAL_RANK is \"2\""},
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
