// Ranks that find rank 0 by a file.
#include "backends/process/meeting_file.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends/process/message_communicator.h"
#include "tests/support/tcp_ranks.h"

namespace shardscope {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

class MeetingFiles : public testing::Test {
protected:
    ~MeetingFiles() override { fs::remove_all(folder_); }

    net::MeetingPlace place(int rank, int size, const std::string& file) const {
        net::MeetingPlace place = test::place_of(rank, size, 0);
        place.file = file;
        return place;
    }
    // All ranks of a run meet by the file and are in one barrier.
    void meet(int ranks, const std::string& file,
              std::chrono::milliseconds rank0_is_late = 0ms) const {
        const auto errors = test::on_ranks(ranks, [&](int r) {
            if (r == 0) std::this_thread::sleep_for(rank0_is_late);
            const auto link = make_tcp_link(place(r, ranks, file));
            std::vector<Rank> all;
            for (int i = 0; i < ranks; ++i) all.emplace_back(i);
            make_message_communicator(*link, all, 1)->barrier();
        });
        for (const auto& error : errors) EXPECT_FALSE(error) << error->what();
    }

    static fs::path new_folder() {
        std::string name = (fs::temp_directory_path() / "meeting-XXXXXX").string();
        return mkdtemp(name.data());
    }

    const fs::path folder_ = new_folder();
    const std::string file_ = folder_ / "meeting";
};

TEST_F(MeetingFiles, SayWhereRank0Is) {
    meet(5, file_, 200ms);
    EXPECT_FALSE(fs::exists(file_)) << "the next run finds it";
    EXPECT_TRUE(fs::is_empty(folder_)) << "a draft stayed behind";
    meet(2, file_);
}

TEST_F(MeetingFiles, OfAKilledRunLeadToNobody) {
    net::publish({7, test::free_port(), {"127.0.0.1"}}, file_);
    meet(3, file_, 300ms);
}

// The port has become another program's, which takes calls and says nothing of ours.
TEST_F(MeetingFiles, OfAKilledRunLeadToAStranger) {
    const net::Socket listener = net::listen_at(net::resolve("127.0.0.1", 0), false);
    std::jthread stranger([&](const std::stop_token& stop) {
        while (!stop.stop_requested())
            if (const auto caller = net::accept_one(listener, net::Clock::now() + 50ms))
                net::send_all(*caller, net::bytes_of("HTTP/1.1 400 Bad Request\r\n\r\n"),
                              net::Clock::now() + 1s);
    });
    net::publish({7, net::own_address(listener).port(), {"127.0.0.1"}}, file_);
    meet(2, file_, 300ms);
}

// The port has become another run's: its rank 0 takes none of ours for its own.
TEST_F(MeetingFiles, OfAKilledRunLeadToAnotherRun) {
    const std::string other = folder_ / "other";
    std::jthread rank0([&] { make_tcp_link(place(0, 2, other)); });
    std::optional<net::MeetingFile> there;
    while (!(there = net::read_meeting_file(other))) std::this_thread::sleep_for(5ms);
    net::publish({there->key + 1, there->port, there->addresses}, file_);
    meet(2, file_, 300ms);
    make_tcp_link(place(1, 2, other));
}

TEST_F(MeetingFiles, ThatCannotBeWrittenOrAreNotThereAreNamed) {
    try {
        make_tcp_link(place(0, 2, folder_ / "none/meeting"));
        FAIL();
    } catch (const Error& e) {
        EXPECT_EQ(e.rule, "processes");
        EXPECT_THAT(e.message, AllOf(HasSubstr("none/meeting"), HasSubstr("No such file")));
    }
    auto late = place(1, 2, file_);
    late.patience = 1s;
    try {
        make_tcp_link(late);
        FAIL();
    } catch (const Error& e) {
        EXPECT_THAT(e.message, AllOf(HasSubstr("rank 1 cannot join rank 0 at " + file_),
                                     HasSubstr("there is no such file")));
    }
    std::ofstream(file_) << "half a li";
    EXPECT_FALSE(net::read_meeting_file(file_));
}

TEST(MeetingAddresses, EndWithLoopback) {
    const auto addresses = net::own_addresses();
    ASSERT_FALSE(addresses.empty());
    EXPECT_TRUE(net::resolve(addresses.back(), 0).is_loopback()) << addresses.back();
}

}  // namespace
}  // namespace shardscope
