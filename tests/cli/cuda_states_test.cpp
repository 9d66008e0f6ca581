// What is said where no GPU can be used: the module, its libraries or the driver are missing, or the driver
// fails. One sentence each, exit code 1, never a crash.
#include <algorithm>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/process.h"

namespace shardscope {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class CudaStates : public test::CommandLine {
protected:
    CudaStates() {
        write("tiny.yaml", test::tiny_scenario_text("[{name: ddp}, {name: zero-1, zero: 1}]"));
    }

    // The program of the build, with modules of the test's own.
    void copy_program() {
        fs::create_directories(path("bin"));
        fs::create_directories(path("lib/shardscope"));
        fs::copy_file(SHARDSCOPE_BINARY, path("bin/shardscope"));
    }

    // A copy of the module in which every `from` is `to`, which is as long.
    void copy_module(const std::string& from, const std::string& to) {
        std::string bytes = test::read(kModule);
        ASSERT_EQ(from.size(), to.size());
        std::size_t count = 0;
        for (auto at = bytes.find(from); at != bytes.npos; at = bytes.find(from, at + 1), ++count)
            bytes.replace(at, from.size(), to);
        ASSERT_GT(count, 0u) << from;
        std::ofstream(path("lib/shardscope/shardscope_cuda.so"), std::ios::binary) << bytes;
    }

    test::Finished program(std::vector<std::string> words) const {
        words.insert(words.begin(), path("bin/shardscope"));
        return execute(std::move(words));
    }

    // One line: rule, cause and remedy. And `devices` says the same and goes on.
    static void expect_sentence(const test::Finished& finished, const std::string& rule,
                                const std::string& cause, const std::string& remedy) {
        EXPECT_EQ(finished.exit_code, 1);
        EXPECT_EQ(finished.out, "");
        EXPECT_THAT(finished.err, StartsWith("shardscope: " + rule + ": "));
        EXPECT_THAT(finished.err, AllOf(HasSubstr(cause), HasSubstr(remedy)));
        EXPECT_EQ(std::ranges::count(finished.err, '\n'), 1) << finished.err;
    }
    static void expect_devices(const test::Finished& finished, const std::string& cause) {
        EXPECT_EQ(finished.exit_code, 0) << finished.err;
        EXPECT_EQ(finished.err, "");
        EXPECT_THAT(finished.out, AllOf(HasSubstr(cause), HasSubstr("h100-sxm")));
    }

    const std::vector<std::string> kRun{"run", "tiny.yaml", "--backend", "cuda"};
    const std::string kModule = SHARDSCOPE_CUDA_MODULE;
};

TEST_F(CudaStates, NoModule) {
    copy_program();
    expect_sentence(program(kRun), "module-missing",
                    "the CUDA module is not there: ", "build it where CUDA's toolkit");
    expect_sentence(program({"compare", "tiny.yaml", "--backend", "cuda"}), "module-missing",
                    "the CUDA module is not there: ", "--backend cpu");
    expect_devices(program({"devices"}), "the CUDA module is not there");
}

TEST_F(CudaStates, NotAModule) {
    copy_program();
    write("lib/shardscope/shardscope_cuda.so", "not a library");
    expect_sentence(program(kRun), "module-missing",
                    "the CUDA module cannot be loaded: ", "install cuBLAS and NCCL");
}

// Those that need the module itself.
class BuiltCudaStates : public CudaStates {
protected:
    void SetUp() override {
        if (kModule.empty()) GTEST_SKIP() << "this build has no CUDA module";
    }
    // Its answers are the variables FAKE_DRIVER_RESULT and FAKE_DRIVER_VERSION.
    void use_fake_driver() { set_variable("LD_LIBRARY_PATH", SHARDSCOPE_FAKE_DRIVER); }
};

TEST_F(BuiltCudaStates, ALibraryIsMissing) {
    copy_program();
    copy_module("libnccl.so.2", "libnxxl.so.2");
    expect_sentence(program(kRun), "module-missing", "libnxxl.so.2: cannot open shared object file",
                    "SHARDSCOPE_CUDA_LIBRARIES");
    expect_devices(program({"devices"}), "libnxxl.so.2: cannot open shared object file");
}

// Wheels are not where the loader looks.
TEST_F(BuiltCudaStates, LibrariesAreFoundInTheFoldersOfTheVariable) {
    copy_program();
    copy_module("libnccl.so.2", "libnxxl.so.2");
    // A library that is what its name says: the module takes it by this name, wherever it lies.
    std::string nccl = test::read(std::string(SHARDSCOPE_NCCL_FOLDER) + "/libnccl.so.2");
    ASSERT_FALSE(nccl.empty());
    fs::create_directories(path("wheels"));
    for (auto at = nccl.find("libnccl.so.2"); at != nccl.npos; at = nccl.find("libnccl.so.2", at))
        nccl.replace(at, 12, "libnxxl.so.2");
    std::ofstream(path("wheels/libnccl.so.2"), std::ios::binary) << nccl;
    set_variable("SHARDSCOPE_CUDA_LIBRARIES", path("nowhere") + ":" + path("wheels"));
    const auto finished = program({"devices"});
    EXPECT_EQ(finished.exit_code, 0) << finished.err;
    EXPECT_THAT(finished.out, AllOf(HasSubstr("NCCL 2."), Not(HasSubstr("cannot open"))));
}

TEST_F(BuiltCudaStates, NoDriver) {
    if (fs::exists("/dev/nvidiactl")) GTEST_SKIP() << "this machine has NVIDIA's driver";
    expect_sentence(shardscope(kRun), "no-gpu", "this machine has no NVIDIA driver",
                    "install one that supports CUDA");
    expect_sentence(shardscope({"calibrate", "--backend", "cuda"}), "no-gpu",
                    "this machine has no NVIDIA driver", "");
    expect_devices(shardscope({"devices"}), "(this machine has no NVIDIA driver)");
    EXPECT_THAT(shardscope({"devices"}).out, HasSubstr("no driver, NCCL "));
}

TEST_F(BuiltCudaStates, ADriverThatFails) {
    use_fake_driver();
    expect_sentence(shardscope(kRun), "no-gpu", "the NVIDIA driver fails: cudaErrorUnknown",
                    "nvidia-smi");
    expect_devices(shardscope({"devices"}), "the NVIDIA driver fails: cudaErrorUnknown");
}

TEST_F(BuiltCudaStates, ADriverWithoutGpus) {
    use_fake_driver();
    set_variable("FAKE_DRIVER_RESULT", "100");
    expect_sentence(shardscope(kRun), "no-gpu", "the NVIDIA driver sees no GPU",
                    "CUDA_VISIBLE_DEVICES");
}

TEST_F(BuiltCudaStates, ADriverThatIsTooOld) {
    use_fake_driver();
    set_variable("FAKE_DRIVER_RESULT", "0");
    set_variable("FAKE_DRIVER_VERSION", "11040");
    expect_sentence(shardscope(kRun), "no-gpu",
                    "the NVIDIA driver supports CUDA 11.4, but this build needs",
                    "install a newer driver");
}

// Every rank finds out for itself, rank 0 says it.
TEST_F(BuiltCudaStates, ProcessesSayItOnce) {
    use_fake_driver();
    const auto finished =
        shardscope({"launch", "--num_gpus", "2", "--", "run", "tiny.yaml", "--backend", "cuda"});
    EXPECT_EQ(finished.exit_code, 1);
    const std::string sentence = "the NVIDIA driver fails";
    const auto first = finished.err.find(sentence);
    ASSERT_NE(first, finished.err.npos) << finished.err;
    EXPECT_EQ(finished.err.find(sentence, first + 1), finished.err.npos) << finished.err;
}

}  // namespace
}  // namespace shardscope
