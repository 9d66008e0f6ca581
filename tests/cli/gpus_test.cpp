// Which GPU is whose, without any.
#include "cli/gpus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/cuda_libraries.h"
#include "cli/shared_gpu.h"
#include "core/error.h"
#include "core/scenario_io.h"
#include "tests/cli/process.h"

namespace shardscope {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::IsSupersetOf;

using Names = std::vector<std::string>;

std::string sharing_error(const Names& gpus, const Names& hosts, int shared, int visible) {
    try {
        check_gpu_sharing(gpus, hosts, shared, visible);
        return "";
    } catch (const Error& error) {
        EXPECT_EQ(error.rule, "gpus");
        EXPECT_EQ(error.exit_code(), 1);
        return error.message + "; " + error.fix;
    }
}

TEST(Gpus, OneForEachRank) {
    EXPECT_EQ(sharing_error({"a", "b"}, {"h", "h"}, 1, 2), "");
    EXPECT_EQ(sharing_error({"a", "b", "c", "d"}, {"h", "h", "i", "i"}, 1, 2), "");
    EXPECT_EQ(sharing_error({"a", "b"}, {"h", "h"}, 1, 1), "") << "Slurm shows each task its own";
}

TEST(Gpus, SharedWhereThatIsAskedFor) {
    EXPECT_EQ(sharing_error({"a", "a", "b", "b"}, {"h", "h", "h", "h"}, 2, 2), "");
    EXPECT_EQ(sharing_error({"a", "a", "a", "a"}, {"h", "h", "h", "h"}, 4, 1), "");
}

TEST(Gpus, TooFewOfThemAreNamedWithTheNumbers) {
    EXPECT_EQ(sharing_error({"a", "a", "a", "a"}, {"h", "h", "h", "h"}, 1, 1),
              "4 ranks on one host, which has 1 GPU for them; start 1, or add --ranks-per-gpu 4, "
              "whose times mean nothing");
    EXPECT_EQ(sharing_error({"a", "b", "", "", ""}, {"h", "h", "h", "h", "h"}, 1, 2),
              "5 ranks on one host, which has 2 GPUs for them; start 2, or add --ranks-per-gpu 3, "
              "whose times mean nothing");
    EXPECT_EQ(sharing_error({"a", "a", "b", "b", ""}, {"h", "h", "h", "h", "h"}, 2, 2),
              "5 ranks on one host, which has 2 GPUs for them, 2 ranks each; start 4, or add "
              "--ranks-per-gpu 3, whose times mean nothing");
}

TEST(Gpus, TwoRanksOnOneOfTwoGpus) {
    EXPECT_THAT(sharing_error({"a", "a"}, {"h", "h"}, 1, 2), HasSubstr("--ranks-per-gpu 2"));
}

TEST(Gpus, OneProcessIsToldHowToStartTheOthers) {
    Scenario scenario = parse_scenario(test::tiny_scenario_text("[{name: ddp}]"), "tiny.yaml", {});
    GpuPlace place;
    place.name = "NVIDIA H200";
    place.visible = 2;
    try {
        move_to_gpus(scenario, {}, place, nullptr, "",
                     {"run", "my scenario.yaml", "--backend", "cuda"});
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.rule, "ranks");
        EXPECT_EQ(error.message, "2 ranks on GPUs are 2 processes, but this one is alone");
        EXPECT_EQ(error.fix,
                  "start them with `shardscope launch --num_gpus 2 -- run 'my scenario.yaml' "
                  "--backend cuda`");
    }
    place.visible = 1;
    try {
        move_to_gpus(scenario, {}, place, nullptr, "", {"run", "tiny.yaml", "--backend", "cuda"});
        FAIL();
    } catch (const Error& error) {
        EXPECT_THAT(error.fix, HasSubstr("--backend cuda --ranks-per-gpu 2`"));
    }
}

TEST(Gpus, AClusterOfWhatIsThere) {
    Scenario scenario = parse_scenario(test::tiny_scenario_text("[{name: ddp}]"), "tiny.yaml", {});
    RunArguments arguments;
    arguments.ranks = 1;
    GpuPlace place;
    place.name = "NVIDIA H200";
    place.memory = Bytes(1 << 30);
    place.visible = 1;
    const auto note = move_to_gpus(scenario, arguments, place, nullptr, "", {});
    EXPECT_EQ(scenario.cluster.device.kind, DeviceKind::gpu);
    EXPECT_EQ(scenario.cluster.device.memory, Bytes(1 << 30));
    EXPECT_EQ(scenario.cluster.world_size(), 1);
    ASSERT_TRUE(note);
    EXPECT_THAT(*note, HasSubstr("here 1 rank of NVIDIA H200"));
    EXPECT_THROW(require_known_gpu(scenario.cluster.device), Error);
}

TEST(SharedGpu, OnlyWhereItIsAskedFor) {
    EXPECT_THAT(shared_gpu_variables({"run", "x.yaml", "--backend", "cuda"}, 0), IsEmpty());
    EXPECT_THAT(shared_gpu_variables({"run", "x.yaml", "--ranks-per-gpu", "1"}, 0), IsEmpty());
    EXPECT_EQ(ranks_per_gpu_of({"run", "--ranks_per_gpu=4"}), 4);
    EXPECT_EQ(ranks_per_gpu_of({"run", "--ranks-per-gpu", "x"}), 1);
    EXPECT_TRUE(asks_for_cuda({"run", "--backend=cuda"}));
    EXPECT_FALSE(asks_for_cuda({"run", "--backend", "cpu"}));
}

TEST(SharedGpu, EveryRankIsAHostOfItsOwnToNccl) {
    const auto variable = [](int rank, const std::string& name) -> std::string {
        for (const auto& v : shared_gpu_variables({"run", "--ranks-per-gpu", "2"}, rank))
            if (v.name == name) return v.value + (v.decides ? "!" : "");
        return "";
    };
    EXPECT_NE(variable(0, "NCCL_HOSTID"), variable(1, "NCCL_HOSTID"));
    EXPECT_THAT(variable(0, "NCCL_HOSTID"), testing::EndsWith("!")) << "whatever the user has set";
    EXPECT_EQ(variable(0, "NCCL_NET"), "Socket");
    EXPECT_EQ(variable(0, "NCCL_SOCKET_IFNAME"), "lo");
}

using SharedGpuCommand = test::CommandLine;

TEST_F(SharedGpuCommand, LaunchTellsNccl) {
    set_variable("NCCL_ALGO", "Tree");
    const auto plan = shardscope({"launch", "--num_gpus", "2", "--dry_run", "--", "run", "x.yaml",
                                  "--backend", "cuda", "--ranks-per-gpu", "2"});
    EXPECT_EQ(plan.exit_code, 0) << plan.err;
    EXPECT_THAT(plan.out, HasSubstr("NCCL_HOSTID=shardscope-rank0 "));
    EXPECT_THAT(plan.out, HasSubstr("NCCL_HOSTID=shardscope-rank1 "));
    EXPECT_THAT(plan.out, testing::Not(HasSubstr("NCCL_ALGO="))) << "the user's own holds";
}

TEST_F(SharedGpuCommand, LaunchStartsARankPerGpu) {
    set_variable("CUDA_VISIBLE_DEVICES", "");
    const auto none = shardscope({"launch", "--", "run", "x.yaml", "--backend", "cuda"});
    EXPECT_EQ(none.exit_code, 2);
    EXPECT_THAT(none.err, HasSubstr("this machine has no GPU"));
}

using CudaLibraries = test::CommandLine;

TEST_F(CudaLibraries, AreLookedForWherePipPutsThem) {
    const std::string nccl = "lib/python3.12/site-packages/nvidia/nccl/lib";
    for (const std::string& folder :
         {"venv/" + nccl, ".local/" + nccl, std::string("root/lib"), std::string("own")})
        std::filesystem::create_directories(path(folder));
    const auto folders =
        cuda_library_folders({{"SHARDSCOPE_CUDA_LIBRARIES", path("own") + ":" + path("none")},
                              {"NCCL_ROOT", path("root")},
                              {"VIRTUAL_ENV", path("venv")},
                              {"HOME", path("")}});
    ASSERT_GE(folders.size(), 4u);
    EXPECT_THAT(
        Names(folders.begin(), folders.begin() + 4),
        ElementsAre(path("own"), path("root/lib"), path("venv/" + nccl), path(".local/" + nccl)));
}

TEST_F(CudaLibraries, AreLookedForBesideThePythonOfThePath) {
    const std::string nccl = "conda/lib/python3.12/site-packages/nvidia/nccl/lib";
    std::filesystem::create_directories(path(nccl));
    std::filesystem::create_directories(path("conda/bin"));
    write("conda/bin/python3", "");
    EXPECT_THAT(cuda_library_folders({{"PATH", "/nowhere:" + path("conda/bin")}}),
                IsSupersetOf({path(nccl)}));
}

}  // namespace
}  // namespace shardscope
