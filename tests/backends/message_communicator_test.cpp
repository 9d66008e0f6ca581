// Collectives and transfers among processes' ends of a transport: here the TCP link, its ends in threads
// of one process. What they compute has to be what the threads' communicator computes, bit for bit.
#include "backends/process/message_communicator.h"

#include <atomic>
#include <chrono>
#include <cstring>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backends/cpu/thread_communicator.h"
#include "tests/support/tcp_ranks.h"

namespace shardscope {
namespace {

using namespace std::chrono_literals;
using test::free_port;
using test::on_ranks;
using test::place_of;
using testing::HasSubstr;

std::vector<Rank> all_of(int ranks) {
    std::vector<Rank> members;
    for (int r = 0; r < ranks; ++r) members.emplace_back(r);
    return members;
}

// Calls body(rank, link, communicator of all) on a thread for every rank.
template <class Body>
std::vector<std::optional<Error>> on_tcp_ranks(int ranks, Body body) {
    return test::on_tcp_links(ranks, [&](int r, MessageLink& link) {
        const auto group = make_message_communicator(link, all_of(ranks), 1);
        body(r, link, *group);
    });
}

void expect_none(const std::vector<std::optional<Error>>& errors) {
    for (const auto& e : errors) EXPECT_FALSE(e) << e->what();
}

using RawBuffer = std::vector<std::byte>;

// Random values of a type whose sums round.
RawBuffer random_buffer(DType dtype, std::int64_t elements, unsigned seed) {
    RawBuffer buffer(static_cast<std::size_t>(elements * size_of(dtype)));
    std::mt19937 random(seed);
    std::uniform_real_distribution<float> unit(-1, 1);
    for (std::int64_t i = 0; i < elements; ++i) {
        const float value = unit(random);
        const double wide = static_cast<double>(value) * 1.1;
        if (dtype == DType::fp64)
            std::memcpy(buffer.data() + 8 * i, &wide, 8);
        else if (dtype == DType::bf16)
            std::memcpy(buffer.data() + 2 * i, reinterpret_cast<const char*>(&value) + 2, 2);
        else
            std::memcpy(buffer.data() + 4 * i, &value, 4);
    }
    return buffer;
}

struct Outcome {
    RawBuffer reduced, largest, scattered, gathered;
    bool operator==(const Outcome&) const = default;
};

// One of each collective on a rank's buffers; `elements` per rank.
Outcome collectives(Communicator& group, DType dtype, std::int64_t elements) {
    const auto seed = static_cast<unsigned>(group.rank() + 1);
    const auto bytes = static_cast<std::size_t>(elements * size_of(dtype));
    Outcome out;
    out.reduced = random_buffer(dtype, elements, seed);
    group.all_reduce(out.reduced.data(), elements, dtype);
    out.largest = random_buffer(dtype, elements, seed);
    group.all_reduce(out.largest.data(), elements, dtype, ReduceOp::maximum);
    const RawBuffer whole = random_buffer(dtype, elements * group.size(), seed);
    out.scattered.resize(bytes);
    group.reduce_scatter(whole.data(), out.scattered.data(), elements, dtype);
    out.gathered.resize(bytes * static_cast<std::size_t>(group.size()));
    group.all_gather(out.scattered.data(), out.gathered.data(), elements, dtype);
    group.barrier();
    return out;
}

class MessageCollectives : public testing::TestWithParam<std::tuple<int, DType>> {};

TEST_P(MessageCollectives, HaveTheBitsOfThreads) {
    const auto [ranks, dtype] = GetParam();
    // Nothing, less than an element per rank, odd, and more than the staging buffers hold.
    const std::vector<std::int64_t> sizes{0, 1, 7, 1001, 300'007};
    std::vector<std::vector<Outcome>> threads(sizes.size()), processes(sizes.size());
    for (std::size_t i = 0; i < sizes.size(); ++i) {
        threads[i].resize(static_cast<std::size_t>(ranks));
        processes[i].resize(static_cast<std::size_t>(ranks));
        const auto members = make_thread_communicators(ranks);
        expect_none(on_ranks(
            ranks, [&](int r) { threads[i][r] = collectives(*members[r], dtype, sizes[i]); }));
    }
    expect_none(on_tcp_ranks(ranks, [&](int r, MessageLink&, Communicator& group) {
        for (std::size_t i = 0; i < sizes.size(); ++i)
            processes[i][r] = collectives(group, dtype, sizes[i]);
    }));
    for (std::size_t i = 0; i < sizes.size(); ++i)
        EXPECT_TRUE(threads[i] == processes[i]) << sizes[i] << " elements";
}

INSTANTIATE_TEST_SUITE_P(, MessageCollectives,
                         testing::Combine(testing::Values(1, 2, 3, 4, 7),
                                          testing::Values(DType::fp32, DType::fp64, DType::bf16)));

// More members than messages of one transfer.
TEST(MessageCommunicator, FortyRanks) {
    std::atomic<int> wrong = 0;
    expect_none(on_tcp_ranks(40, [&](int r, MessageLink&, Communicator& group) {
        std::int32_t value[2] = {r, 1};
        group.all_reduce(reinterpret_cast<std::byte*>(value), 2, DType::int32);
        wrong += value[0] != 40 * 39 / 2 || value[1] != 40;
    }));
    EXPECT_EQ(wrong, 0);
}

TEST(MessageCommunicator, ReduceScatterInPlace) {
    expect_none(on_tcp_ranks(3, [&](int r, MessageLink&, Communicator& group) {
        std::vector<std::int32_t> whole{1, 10, 100};
        auto* own = reinterpret_cast<std::byte*>(&whole[static_cast<std::size_t>(r)]);
        group.reduce_scatter(reinterpret_cast<std::byte*>(whole.data()), own, 1, DType::int32);
        const std::vector<std::int32_t> sums{3, 30, 300};
        EXPECT_EQ(whole[static_cast<std::size_t>(r)], sums[static_cast<std::size_t>(r)]);
    }));
}

TEST(MessageCommunicator, TransfersKeepTheirOrderAndMaySendToOneself) {
    expect_none(on_tcp_ranks(2, [&](int r, MessageLink&, Communicator& group) {
        std::vector<std::int32_t> sent(4), got(4, -1);
        std::vector<Transfer> transfers;
        for (int i = 0; i < 4; ++i) {
            sent[i] = 10 * r + i;
            const int peer = i < 2 ? 1 - r : r;
            transfers.push_back({peer, true, reinterpret_cast<std::byte*>(&sent[i]), 4});
            transfers.push_back({peer, false, reinterpret_cast<std::byte*>(&got[i]), 4});
        }
        group.exchange(transfers);
        const int other = 10 * (1 - r);
        EXPECT_THAT(got, testing::ElementsAre(other, other + 1, 10 * r + 2, 10 * r + 3));
    }));
}

// Large messages in both directions at once, by two threads of each rank, as a pipeline's streams do.
TEST(MessageCommunicator, SendsAndReceivesByTwoThreads) {
    constexpr std::int64_t kBytes = 8 << 20;
    expect_none(on_tcp_ranks(2, [&](int r, MessageLink&, Communicator& group) {
        RawBuffer out(kBytes, std::byte(r + 1)), in(kBytes);
        std::jthread sender([&] {
            const Transfer t{1 - r, true, out.data(), kBytes};
            for (int i = 0; i < 3; ++i) group.exchange({&t, 1});
        });
        const Transfer t{1 - r, false, in.data(), kBytes};
        for (int i = 0; i < 3; ++i) group.exchange({&t, 1});
        EXPECT_EQ(in, RawBuffer(kBytes, std::byte(2 - r)));
    }));
}

TEST(MessageCommunicator, DifferentCallsAreAMismatch) {
    const auto errors = on_tcp_ranks(2, [&](int r, MessageLink&, Communicator& group) {
        std::vector<float> buffer(12);
        try {
            group.all_reduce(reinterpret_cast<std::byte*>(buffer.data()), r == 0 ? 12 : 11,
                             DType::fp32);
        } catch (const Error&) {
            group.abort();
            throw;
        }
    });
    bool told = false;
    for (const auto& e : errors) {
        ASSERT_TRUE(e);
        told |= e->rule == "collective-mismatch" &&
                e->message.find("all_reduce of 11 fp32 elements") != std::string::npos;
    }
    EXPECT_TRUE(told);
}

TEST(MessageCommunicator, TransfersOfDifferentLengthAreAMismatch) {
    const auto errors = on_tcp_ranks(2, [&](int r, MessageLink&, Communicator& group) {
        RawBuffer buffer(100);
        const Transfer t{1 - r, r == 0, buffer.data(), r == 0 ? 100 : 60};
        group.exchange({&t, 1});
    });
    ASSERT_TRUE(errors[1]);
    EXPECT_EQ(errors[1]->rule, "exchange-mismatch");
}

// The cause reaches rank 0 whoever failed, also those that are not connected to it by a channel.
TEST(MessageLink, AnAbortWakesAllAndTellsRank0Why) {
    const int port = free_port();
    std::optional<Error> cause;
    const auto errors = on_ranks(4, [&](int r) {
        const auto link = make_tcp_link(place_of(r, 4, port));
        const auto pair = make_message_communicator(
            *link, r < 2 ? std::vector{Rank(0), Rank(1)} : std::vector{Rank(2), Rank(3)}, 1);
        if (r == 3) {
            std::this_thread::sleep_for(50ms);
            link->abort(Error("run", "rank 3: no more", "", ErrorKind::run_failed));
            link->leave();
            return;
        }
        try {
            for (int i = 0;; ++i) {
                pair->barrier();
                if (r == 1 && i == 10) std::this_thread::sleep_for(500ms);  // rank 0 waits for it
            }
        } catch (const Error&) {
            if (r == 0) cause = link->failure();
            throw;
        }
    });
    EXPECT_FALSE(errors[3]);
    for (const int r : {0, 1, 2}) {
        ASSERT_TRUE(errors[r]) << r;
        EXPECT_EQ(errors[r]->rule, "communication-aborted");
    }
    ASSERT_TRUE(cause);
    EXPECT_EQ(cause->message, "rank 3: no more");
}

// A process that is killed says nothing; its connections do.
TEST(MessageLinkDeathTest, AKilledProcessIsNamed) {
    const int port = free_port();
    std::vector<pid_t> children;
    for (int r = 1; r < 3; ++r) {
        const pid_t child = fork();
        ASSERT_GE(child, 0);
        if (child == 0) {
            const auto link = make_tcp_link(place_of(r, 3, port));
            const auto group = make_message_communicator(*link, all_of(3), 1);
            group->barrier();
            if (r == 2) {
                usleep(50'000);  // the others have left the barrier by then
                _exit(9);        // as if killed: no destructor runs
            }
            try {
                group->barrier();
            } catch (const Error&) {
                link->leave();
            }
            _exit(0);
        }
        children.push_back(child);
    }
    const auto link = make_tcp_link(place_of(0, 3, port));
    const auto group = make_message_communicator(*link, all_of(3), 1);
    group->barrier();
    EXPECT_THROW(group->barrier(), Error);
    const auto cause = link->failure();
    ASSERT_TRUE(cause);
    EXPECT_EQ(cause->rule, "rank-lost");
    EXPECT_THAT(cause->message, HasSubstr("rank 2 is gone"));
    for (const pid_t child : children) waitpid(child, nullptr, 0);
}

TEST(Meeting, EveryoneKnowsTheHosts) {
    expect_none(on_tcp_ranks(5, [&](int, MessageLink& link, Communicator&) {
        EXPECT_THAT(link.hosts(), testing::ElementsAre("h0", "h0", "h1", "h1", "h2"));
        EXPECT_EQ(link.size(), 5);
    }));
}

TEST(Meeting, MissingRanksAreNamed) {
    auto place = place_of(0, 4, free_port());
    place.patience = 1s;
    std::jthread present([port = place.master_port] {
        try {
            make_tcp_link(place_of(2, 4, port));
        } catch (const Error&) {
        }
    });
    try {
        make_tcp_link(place);
        FAIL() << "rank 0 did not wait for ranks 1 and 3";
    } catch (const Error& e) {
        EXPECT_THAT(e.message, HasSubstr("ranks 1 and 3 of 4 did not come to 127.0.0.1:"));
    }
}

TEST(Meeting, OthersMustAgreeWithRank0) {
    const std::vector<std::pair<std::function<void(net::MeetingPlace&)>, const char*>> faults{
        {[](auto& p) { p.version = "other"; }, "rank 1 is Shardscope other, rank 0 is test"},
        {[](auto& p) { p.size = 3; }, "rank 1 expects 3 processes, rank 0 2"},
        {[](auto& p) { p.rank = Rank(5); }, "rank 5 is not one of 1 to 1"}};
    for (const auto& [spoil, message] : faults) {
        const int port = free_port();
        const auto errors = on_ranks(2, [&](int r) {
            auto place = place_of(r, 2, port);
            if (r == 1) spoil(place);
            make_tcp_link(place);
        });
        for (const auto& e : errors) {
            ASSERT_TRUE(e);
            EXPECT_THAT(e->message, HasSubstr(message));
        }
    }
}

TEST(Meeting, NobodyThere) {
    auto place = place_of(1, 2, free_port());
    place.patience = 1s;
    try {
        make_tcp_link(place);
        FAIL();
    } catch (const Error& e) {
        EXPECT_THAT(e.message, HasSubstr("rank 1 cannot join rank 0 at 127.0.0.1:"));
        EXPECT_THAT(e.message, HasSubstr("nobody listens there"));
    }
}

// Debian calls its own machine 127.0.1.1: others know it by another address, here 127.0.0.2.
TEST(Meeting, AMasterThatTakesItselfForLoopback) {
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    try {
        if (!net::resolve(host, 0).is_loopback()) GTEST_SKIP() << host << " is no loopback address";
    } catch (const Error&) {
        GTEST_SKIP() << host << " has no address";
    }
    const int port = free_port();
    expect_none(on_ranks(3, [&](int r) {
        auto place = place_of(r, 3, port);
        place.master_host = r == 0 ? host : "127.0.0.2";
        const auto link = make_tcp_link(place);
        make_message_communicator(*link, all_of(3), 1)->barrier();
    }));
}

// Whoever else calls is not taken for a rank.
TEST(Meeting, StrangersAreTurnedAway) {
    const int port = free_port();
    std::jthread stranger([&] {
        const auto socket =
            net::connect_to(net::resolve("127.0.0.1", port), net::Clock::now() + 5s);
        const char text[200] = "GET / HTTP/1.1\r\n\r\n";
        if (socket) net::send_all(*socket, net::bytes_of(text), net::Clock::now() + 1s);
    });
    expect_none(on_ranks(2, [&](int r) {
        if (r == 1) std::this_thread::sleep_for(200ms);
        make_tcp_link(place_of(r, 2, port));
    }));
}

}  // namespace
}  // namespace shardscope
