#include "cli/launch/hostfile.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"

namespace shardscope {
namespace {

using testing::HasSubstr;

// "a:0,1 b:0"
std::string text_of(const std::vector<Host>& hosts) {
    std::string text;
    for (const Host& host : hosts)
        text +=
            fmt::format("{}{}:{}", text.empty() ? "" : " ", host.name, fmt::join(host.slots, ","));
    return text;
}

std::string error_of(const std::string& text) {
    try {
        parse_hostfile(text, "hosts");
    } catch (const Error& error) {
        EXPECT_EQ(error.exit_code(), 3);
        return error.what();
    }
    return "";
}

TEST(Hostfile, IsReadAsDeepSpeedReadsIt) {
    const auto hosts = parse_hostfile(
        "# machines\n\n  worker-1   slots=2  \r\nworker-2\tslots=3 # spare\nworker-3 slots=1 "
        "max_slots=4",
        "hosts");
    EXPECT_EQ(text_of(hosts), "worker-1:0,1 worker-2:0,1,2 worker-3:0");
    EXPECT_EQ(hosts[1].place, "hosts:4");
}

TEST(Hostfile, BadEntriesAreNamedWithTheirLine) {
    for (const std::string entry :
         {"worker-1", "worker-1 slots=", "worker-1 slots=two", "worker-1 slots=-1",
          "worker-1 slots=0", "worker-1 slots=4x", "worker-1 slots 4", "worker-1 gpus=4", "slots=4",
          "-oProxy slots=4", "a,b slots=4", "a:1 slots=4", "worker-1 slots=99999999999"}) {
        const std::string error = error_of("first slots=1\n" + entry + "\n");
        EXPECT_THAT(error, HasSubstr("hosts:2: Hostfile contains a bad entry: " + entry + ";"));
        EXPECT_THAT(error, HasSubstr("worker-1 slots=8"));
    }
}

TEST(Hostfile, TwoEntriesForAHostAreNamed) {
    EXPECT_THAT(
        error_of("h slots=1\n# and\nh slots=2\n"),
        HasSubstr("hosts:3: Hostfile contains multiple entries for h; the first is hosts:1"));
}

TEST(Hostfile, NoHostIsAnError) {
    for (const char* text : {"", "\n\n", "# nothing\n"})
        EXPECT_THAT(error_of(text), HasSubstr("hosts: Hostfile is empty"));
}

class HostFilter : public testing::Test {
protected:
    std::string included(const std::string& filter) const {
        return text_of(include_hosts(hosts_, filter, "hosts"));
    }
    std::string excluded(const std::string& filter) const {
        return text_of(exclude_hosts(hosts_, filter, "hosts"));
    }
    std::string error(const std::string& filter) const {
        try {
            return excluded(filter);
        } catch (const Error& error) {
            EXPECT_EQ(error.exit_code(), 2);
            return error.what();
        }
    }
    std::vector<Host> hosts_ = parse_hostfile("a slots=4\nb slots=2\nc slots=2\n", "hosts");
};

TEST_F(HostFilter, IncludesHostsAndSlotsInTheHostfilesOrder) {
    EXPECT_EQ(included("c@a"), "a:0,1,2,3 c:0,1");
    EXPECT_EQ(included("b@a:2,0"), "a:0,2 b:0,1");
    EXPECT_EQ(included("a:1@a:3"), "a:1,3");
    EXPECT_EQ(included("a:1,1"), "a:1");
}

TEST_F(HostFilter, ExcludesHostsAndSlots) {
    EXPECT_EQ(excluded("b"), "a:0,1,2,3 c:0,1");
    EXPECT_EQ(excluded("a:0,3@c:0,1"), "a:1,2 b:0,1");
}

TEST_F(HostFilter, SaysWhatIsNotThere) {
    EXPECT_THAT(error("a:4"),
                HasSubstr("No slot '4' specified on host 'a' (hosts:1); it has 4 slots"));
    EXPECT_THAT(error("a:x"), HasSubstr("No slot 'x' specified on host 'a'"));
    EXPECT_THAT(error("a:"), HasSubstr("No slot '' specified on host 'a'"));
    EXPECT_THAT(error("d"), HasSubstr("Hostname 'd' not found in hosts; it has a, b, c"));
    EXPECT_THAT(error("a@b@c"), HasSubstr("leaves no slot of hosts"));
}

}  // namespace
}  // namespace shardscope
