// From options, hosts and surroundings to what is executed, as text.
#include "cli/launch/plan.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"

namespace shardscope {
namespace {

using testing::HasSubstr;

// A machine called "head" with 4 cores and every engine under /bin, in no Slurm allocation.
class LaunchPlans : public testing::Test {
protected:
    LaunchPlans() {
        surroundings_.host = "head";
        surroundings_.cores = 4;
        surroundings_.free_port = 40'000;
        surroundings_.find_program = [this](const std::string& name) -> std::optional<std::string> {
            if (!there_.contains(name)) return std::nullopt;
            return "/bin/" + name;
        };
        surroundings_.is_this_machine = [](const std::string& name) {
            return name == "head" || name == "localhost";
        };
    }

    void hostfile(const std::string& text) {
        surroundings_.hostfile = "hosts";
        hosts_ = parse_hostfile(text, "hosts");
    }
    void slurm(int nodes, const std::string& list) {
        surroundings_.slurm = SlurmAllocation{nodes, list, std::nullopt};
    }
    LaunchPlan plan() const { return plan_launch(options_, hosts_, surroundings_, kCommand); }
    std::string text() const { return to_text(plan(), kCommand); }
    std::string error() const {
        try {
            return text();
        } catch (const Error& error) {
            EXPECT_EQ(error.exit_code(), 2) << error.what();
            return error.what();
        }
    }

    const Words kCommand{"/opt/shardscope", "run", "my scenario.yaml"};
    LaunchOptions options_;
    LaunchSurroundings surroundings_;
    std::vector<Host> hosts_;
    std::set<std::string> there_{"mpirun", "srun", "torchrun"};
};

TEST_F(LaunchPlans, OneMachineIsOurs) {
    options_.num_gpus = 2;
    EXPECT_EQ(text(),
              "RANK=0 LOCAL_RANK=0 WORLD_SIZE=2 LOCAL_WORLD_SIZE=2 LOCAL_SIZE=2 CROSS_RANK=0 "
              "CROSS_SIZE=1 MASTER_ADDR=127.0.0.1 MASTER_PORT=40000 /opt/shardscope run 'my "
              "scenario.yaml'\n"
              "RANK=1 LOCAL_RANK=1 WORLD_SIZE=2 LOCAL_WORLD_SIZE=2 LOCAL_SIZE=2 CROSS_RANK=0 "
              "CROSS_SIZE=1 MASTER_ADDR=127.0.0.1 MASTER_PORT=40000 /opt/shardscope run 'my "
              "scenario.yaml'\n");
    options_.num_gpus.reset();
    EXPECT_EQ(std::get<OwnProcesses>(plan()).ranks.size(), 4u);  // one per core
    hostfile("localhost slots=3\n");
    EXPECT_EQ(std::get<OwnProcesses>(plan()).ranks.size(), 3u);
    options_.master_port = 29'999;
    EXPECT_THAT(text(), HasSubstr("MASTER_PORT=29999"));
}

TEST_F(LaunchPlans, ChosenSlotsBecomeTheVisibleDevices) {
    hostfile("localhost slots=8\n");
    options_.include = "localhost:1,5";
    EXPECT_THAT(text(), HasSubstr("CUDA_VISIBLE_DEVICES=1,5 "));
    options_.include = "localhost:0,1";
    EXPECT_EQ(text().find("CUDA"), std::string::npos);
}

TEST_F(LaunchPlans, SeveralMachinesAreMpiruns) {
    hostfile("h1 slots=8\nh2 slots=8\nh3 slots=8\n");
    options_.num_nodes = 2;
    const std::string line =
        "/bin/mpirun -np 16 -H h1:8,h2:8 --bind-to none -x MASTER_ADDR=h1 -x MASTER_PORT=29500 ";
    EXPECT_EQ(text(), line + "/opt/shardscope run 'my scenario.yaml'\n");
    options_.engine_words = {"--mca", "btl", "tcp"};
    surroundings_.exported = {"NCCL_DEBUG"};
    EXPECT_EQ(text(),
              line + "-x NCCL_DEBUG --mca btl tcp /opt/shardscope run 'my scenario.yaml'\n");
}

TEST_F(LaunchPlans, AnotherMachineAloneIsMpirunsToo) {
    hostfile("h1 slots=2\n");
    EXPECT_THAT(text(), HasSubstr("/bin/mpirun -np 2 -H h1:2"));
    hostfile("localhost slots=2\n");
    options_.engine = Engine::mpirun;  // asked for, though we could
    EXPECT_THAT(text(), HasSubstr("/bin/mpirun -np 2 -H localhost:2"));
}

TEST_F(LaunchPlans, HostsMayDifferUnderMpirun) {
    hostfile("h1 slots=8\nh2 slots=4\n");
    EXPECT_THAT(text(), HasSubstr("-np 12 -H h1:8,h2:4 "));
    options_.exclude = "h1:6,7";
    EXPECT_THAT(text(), HasSubstr("-np 10 -H h1:6,h2:4 "));
    options_.exclude = "h1:0";
    EXPECT_THAT(error(), HasSubstr("mpirun cannot choose slots of h1"));
}

TEST_F(LaunchPlans, ASlurmAllocationIsSruns) {
    slurm(2, "gpu[07-08]");
    options_.num_gpus = 8;
    EXPECT_EQ(text(),
              "/bin/srun -N 2 --ntasks-per-node 8 --export=ALL,MASTER_ADDR=gpu07,MASTER_PORT=29500 "
              "/opt/shardscope run 'my scenario.yaml'\n");
    options_.num_nodes = 3;
    EXPECT_THAT(error(), HasSubstr("the Slurm allocation has 2 nodes"));
    options_ = {};
    EXPECT_THAT(error(), HasSubstr("--ntasks-per-node"));
    surroundings_.slurm->tasks_per_node = 4;
    EXPECT_THAT(text(), HasSubstr("--ntasks-per-node 4 "));
}

TEST_F(LaunchPlans, HostsInASlurmAllocationAreInItsOrder) {
    slurm(4, "gpu[8-11]");
    hostfile("gpu10 slots=2\ngpu9 slots=2\n");
    EXPECT_THAT(text(), HasSubstr("--nodelist=gpu9,gpu10 --export=ALL,MASTER_ADDR=gpu9,"));
    hostfile("gpu10 slots=2\ngpu9 slots=1\n");
    EXPECT_THAT(error(), HasSubstr("srun needs as many ranks on every host, but gpu10 has 2 and "
                                   "gpu9 1; use --num_gpus 1"));
}

TEST_F(LaunchPlans, ASlurmAllocationOfThisMachineIsOurs) {
    slurm(1, "head");
    options_.num_gpus = 2;
    EXPECT_EQ(std::get<OwnProcesses>(plan()).ranks.size(), 2u);
    slurm(1, "gpu7");  // allocated from a login node
    EXPECT_THAT(text(), HasSubstr("/bin/srun -N 1 "));
}

TEST_F(LaunchPlans, TorchrunIsStartedOnEveryNode) {
    hostfile("h1 slots=8\nh2 slots=8\n");
    options_.engine = Engine::torchrun;
    EXPECT_THAT(error(), HasSubstr("torchrun is started on every node and needs --node_rank"));
    options_.node_rank = 1;
    EXPECT_EQ(text(),
              "/bin/torchrun --nnodes 2 --nproc_per_node 8 --node_rank 1 --master_addr h1 "
              "--master_port 29500 --no_python /opt/shardscope run 'my scenario.yaml'\n");
    options_.node_rank = 2;
    EXPECT_THAT(error(), HasSubstr("--node_rank 2, but there are 2 nodes; use 0 to 1"));
}

TEST_F(LaunchPlans, ByHandEveryNodeStartsItsOwn) {
    hostfile("h1 slots=1\nh2 slots=2\n");
    options_.no_ssh = true;
    options_.node_rank = 1;
    EXPECT_EQ(
        text(),
        "RANK=1 LOCAL_RANK=0 WORLD_SIZE=3 LOCAL_WORLD_SIZE=2 LOCAL_SIZE=2 CROSS_RANK=1 "
        "CROSS_SIZE=2 MASTER_ADDR=h1 MASTER_PORT=29500 /opt/shardscope run 'my scenario.yaml'\n"
        "RANK=2 LOCAL_RANK=1 WORLD_SIZE=3 LOCAL_WORLD_SIZE=2 LOCAL_SIZE=2 CROSS_RANK=1 "
        "CROSS_SIZE=2 MASTER_ADDR=h1 MASTER_PORT=29500 /opt/shardscope run 'my "
        "scenario.yaml'\n");
    hosts_.clear();
    surroundings_.hostfile.reset();
    options_.num_nodes = 2;
    EXPECT_THAT(error(), HasSubstr("add --num_gpus N"));
    options_.num_gpus = 4;
    EXPECT_THAT(error(), HasSubstr("add --master_addr"));
    options_.master_addr = "10.0.0.1";
    EXPECT_THAT(text(), HasSubstr("RANK=4 LOCAL_RANK=0 WORLD_SIZE=8"));
    options_.node_rank.reset();
    EXPECT_THAT(error(), HasSubstr("--no_ssh needs --node_rank"));
}

TEST_F(LaunchPlans, ContradictionsAreDeepSpeedsErrors) {
    options_.num_nodes = 2;
    EXPECT_THAT(error(),
                HasSubstr("Num nodes is >1 but no extra nodes available via hostfile; name "
                          "a hostfile with --hostfile"));
    hostfile("h1 slots=2\nh2 slots=2\n");
    options_.include = "h1";
    EXPECT_THAT(error(), HasSubstr("Cannot specify num_nodes/gpus with include/exclude"));
    options_.num_nodes.reset();
    options_.exclude = "h2";
    EXPECT_THAT(error(), HasSubstr("--include and --exclude are mutually exclusive"));
    options_ = {};
    options_.num_nodes = 3;
    EXPECT_THAT(error(), HasSubstr("--num_nodes 3, but hosts has 2 hosts"));
    options_ = {};
    options_.num_gpus = 3;
    EXPECT_THAT(error(), HasSubstr("--num_gpus 3, but h1 has 2 slots (hosts:1)"));
    options_ = {};
    options_.node_rank = 1;
    EXPECT_THAT(error(), HasSubstr("--node_rank is for --no_ssh"));
    options_ = {};
    options_.engine_words = {"-v"};
    hostfile("localhost slots=2\n");
    EXPECT_THAT(error(), HasSubstr("--launcher_args are for mpirun"));
}

TEST_F(LaunchPlans, ALoopbackNameIsNoAddressForOthers) {
    hostfile("localhost slots=2\nh2 slots=2\n");
    EXPECT_THAT(error(),
                HasSubstr("the first host is localhost, which the other hosts cannot reach; "
                          "add --master_addr"));
    options_.master_addr = "head";
    EXPECT_THAT(text(), HasSubstr("MASTER_ADDR=head"));
}

TEST_F(LaunchPlans, AMissingEngineIsNamed) {
    hostfile("h1 slots=2\nh2 slots=2\n");
    there_.clear();
    EXPECT_THAT(error(),
                HasSubstr("launcher-missing: 2 hosts, but mpirun is not on PATH, and this is "
                          "no Slurm allocation; install Open MPI"));
    EXPECT_THAT(error(), HasSubstr("--no_ssh --node_rank K"));
    options_.engine = Engine::srun;
    EXPECT_THAT(error(), HasSubstr("launcher-missing: srun is not on PATH"));
    options_.engine = Engine::torchrun;
    options_.node_rank = 0;
    EXPECT_THAT(error(), HasSubstr("torchrun is not on PATH; install PyTorch"));
}

TEST(LaunchEngines, AreNamedAsDeepSpeedDoes) {
    EXPECT_EQ(parse_engine("openmpi"), Engine::mpirun);
    EXPECT_EQ(parse_engine("slurm"), Engine::srun);
    const auto refusal = [](const char* name) {
        try {
            parse_engine(name);
        } catch (const Error& error) {
            return std::string(error.what());
        }
        return std::string();
    };
    EXPECT_THAT(refusal("pdsh"), HasSubstr("--launcher pdsh is not supported; use mpirun"));
    for (const char* name : {"mpich", "impi", "mvapich"})
        EXPECT_THAT(refusal(name),
                    HasSubstr(std::string("--launcher ") + name + " is not supported"));
    EXPECT_THAT(refusal("mpirum"), HasSubstr("unknown launcher \"mpirum\"; use \"mpirun\""));
}

TEST(Slurm, TheFirstNodeOfAListIsRank0s) {
    const auto first = [](const char* list) { return SlurmAllocation{1, list, {}}.first_node(); };
    EXPECT_EQ(first("gpu7"), "gpu7");
    EXPECT_EQ(first("gpu7,gpu9"), "gpu7");
    EXPECT_EQ(first("gpu[07-11,20]"), "gpu07");
    EXPECT_EQ(first("rack[2,4]-node,x1"), "rack2-node");
    EXPECT_EQ(first("a,b[1-2]"), "a");
}

TEST(Slurm, AnAllocationIsReadFromItsVariables) {
    EXPECT_FALSE(slurm_allocation({{"SLURM_CONF", "x"}}));
    const auto allocation = slurm_allocation({{"SLURM_JOB_ID", "1"},
                                              {"SLURM_JOB_NUM_NODES", "3"},
                                              {"SLURM_JOB_NODELIST", "n[1-3]"},
                                              {"SLURM_NTASKS_PER_NODE", "8"}});
    ASSERT_TRUE(allocation);
    EXPECT_EQ(allocation->nodes, 3);
    EXPECT_EQ(allocation->first_node(), "n1");
    EXPECT_EQ(allocation->tasks_per_node, 8);
}

TEST(Slurm, NodesAreOrderedByTheirNumbers) {
    EXPECT_TRUE(before_in_slurm("n9", "n10"));
    EXPECT_FALSE(before_in_slurm("n10", "n9"));
    EXPECT_TRUE(before_in_slurm("a10", "b9"));
    EXPECT_TRUE(before_in_slurm("n1-2", "n1-10"));
    EXPECT_TRUE(before_in_slurm("n", "n1"));
    EXPECT_FALSE(before_in_slurm("n1", "n1"));
}

}  // namespace
}  // namespace shardscope
