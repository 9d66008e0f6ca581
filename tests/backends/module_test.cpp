// What is said where the MPI module, or what it needs, is not there.
#include "backends/process/module.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace shardscope {
namespace {

using testing::HasSubstr;

class Module : public testing::Test {
protected:
    Module() {
        std::string name = (std::filesystem::temp_directory_path() / "modules-XXXXXX").string();
        folder_ = mkdtemp(name.data());
    }
    ~Module() override { std::filesystem::remove_all(folder_); }

    void expect_refused(const char* message, const char* fix) const {
        EXPECT_THAT(why_no_mpi(folder_), HasSubstr(message));
        try {
            load_mpi_link(folder_, 0, 2);
            FAIL() << "loaded";
        } catch (const Error& error) {
            EXPECT_EQ(error.rule, "module-missing");
            EXPECT_EQ(error.kind, ErrorKind::run_failed);
            EXPECT_THAT(error.message, HasSubstr(message));
            EXPECT_THAT(error.fix, HasSubstr(fix));
        }
    }
    std::string folder_;
};

TEST_F(Module, NotBuilt) { expect_refused("the MPI module is not there", "shardscope launch"); }

TEST_F(Module, CannotBeLoaded) {
    std::ofstream(folder_ + "/shardscope_mpi.so") << "not a library";
    expect_refused("the MPI module cannot be loaded", "libopenmpi");
}

}  // namespace
}  // namespace shardscope
