// Point-to-point transfers among threads: what arrives, in which order, and that nobody hangs.
#include <atomic>
#include <chrono>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends/cpu/thread_communicator.h"
#include "tests/support/thread_ranks.h"

namespace shardscope {
namespace {

using namespace std::chrono_literals;
using test::on_ranks;
using testing::Each;
using testing::HasSubstr;

using Values = std::vector<std::int32_t>;

Transfer end(int peer, bool send, Values& values) {
    return {peer, send, reinterpret_cast<std::byte*>(values.data()), std::ssize(values) * 4};
}
Transfer send(int peer, Values& values) { return end(peer, true, values); }
Transfer receive(int peer, Values& values) { return end(peer, false, values); }

void exchange(Communicator& member, std::initializer_list<Transfer> transfers) {
    member.exchange({transfers.begin(), transfers.size()});
}

TEST(Exchange, BothDirectionsAtOnce) {
    const auto members = make_thread_communicators(2);
    std::vector<Values> mine{Values(1000, 1), Values(1000, 2)}, theirs(2, Values(1000));
    const auto errors = on_ranks(2, [&](int r) {
        const int peer = 1 - r;
        // The order in which an exchange names its transfers does not matter.
        if (r == 0)
            exchange(*members[0], {send(peer, mine[0]), receive(peer, theirs[0])});
        else
            exchange(*members[1], {receive(peer, theirs[1]), send(peer, mine[1])});
    });
    for (const auto& e : errors) EXPECT_FALSE(e);
    EXPECT_THAT(theirs[0], Each(2));
    EXPECT_THAT(theirs[1], Each(1));
}

TEST(Exchange, ARingOfAllMembers) {
    constexpr int kRanks = 5;
    const auto members = make_thread_communicators(kRanks);
    std::vector<Values> mine(kRanks), theirs(kRanks, Values(64));
    on_ranks(kRanks, [&](int r) {
        mine[r].assign(64, r);
        exchange(*members[r],
                 {send((r + 1) % kRanks, mine[r]), receive((r + kRanks - 1) % kRanks, theirs[r])});
    });
    for (int r = 0; r < kRanks; ++r) EXPECT_THAT(theirs[r], Each((r + kRanks - 1) % kRanks));
}

TEST(Exchange, AMemberMaySendToItself) {
    const auto members = make_thread_communicators(1);
    Values from(8, 3), to(8);
    exchange(*members[0], {receive(0, to), send(0, from)});
    EXPECT_THAT(to, Each(3));
}

TEST(Exchange, NothingIsAnExchangeToo) {
    const auto members = make_thread_communicators(2);
    exchange(*members[0], {});
}

// Rendezvous: a sender may not go on, and overwrite what it sends, before it was received.
TEST(Exchange, ASenderWaitsForItsReceiver) {
    const auto members = make_thread_communicators(2);
    Values sent(8, 7), got(8);
    std::atomic<bool> receiving = false;
    on_ranks(2, [&](int r) {
        if (r == 0) {
            exchange(*members[0], {send(1, sent)});
            EXPECT_TRUE(receiving);
            sent.assign(8, 0);
        } else {
            std::this_thread::sleep_for(20ms);
            receiving = true;
            exchange(*members[1], {receive(0, got)});
        }
    });
    EXPECT_THAT(got, Each(7));
}

TEST(Exchange, TransfersOfOnePairMatchInOrder) {
    const auto members = make_thread_communicators(2);
    std::atomic<int> wrong = 0;
    on_ranks(2, [&](int r) {
        Values a(16), b(16);
        for (int i = 0; i < 500; ++i) {
            if (r == 0) {
                a.assign(16, 2 * i), b.assign(16, 2 * i + 1);
                if (i % 2 == 0) {
                    exchange(*members[0], {send(1, a), send(1, b)});
                } else {
                    exchange(*members[0], {send(1, a)});
                    exchange(*members[0], {send(1, b)});
                }
            } else {
                exchange(*members[1], {receive(0, a), receive(0, b)});
                for (const int x : a) wrong += x != 2 * i;
                for (const int x : b) wrong += x != 2 * i + 1;
            }
        }
    });
    EXPECT_EQ(wrong, 0);
}

// Four threads for two members, as the streams of two stages have: activations one way, gradients the
// other, at their own pace.
TEST(Exchange, StreamsOfOneMemberDoNotWaitForEachOther) {
    constexpr int kRounds = 300;
    const auto members = make_thread_communicators(2);
    std::atomic<int> wrong = 0;
    on_ranks(4, [&](int thread) {
        const int from = thread / 2, member = thread % 2;
        Values x(256);
        for (int i = 0; i < kRounds; ++i) {
            if (member == from) {
                x.assign(256, i + from);
                exchange(*members[member], {send(1 - member, x)});
            } else {
                exchange(*members[member], {receive(1 - member, x)});
                for (const int v : x) wrong += v != i + from;
            }
        }
    });
    EXPECT_EQ(wrong, 0);
}

TEST(Exchange, AbortWakesSendersAndReceivers) {
    const auto members = make_thread_communicators(3);
    std::vector<Values> buffers(3, Values(8));
    const auto errors = on_ranks(3, [&](int r) {
        if (r == 0) exchange(*members[0], {send(2, buffers[0])});
        if (r == 1) exchange(*members[1], {receive(2, buffers[1])});
        if (r == 2) {
            std::this_thread::sleep_for(20ms);
            members[2]->abort();
            members[2]->abort();
        }
    });
    for (const int r : {0, 1}) {
        ASSERT_TRUE(errors[r]);
        EXPECT_EQ(errors[r]->rule, kCommunicationAborted);
    }
    EXPECT_FALSE(errors[2]);
    EXPECT_THROW(exchange(*members[2], {receive(0, buffers[2])}), Error);  // and later calls fail
    EXPECT_THROW(members[2]->barrier(), Error);
}

// Aborts at every moment of a busy exchange: whoever returns may free its buffer at once.
TEST(Exchange, AbortNeverLeavesACopyBehind) {
    for (int round = 0; round < 200; ++round) {
        const auto members = make_thread_communicators(2);
        on_ranks(3, [&](int r) {
            if (r == 2) {
                std::this_thread::sleep_for(std::chrono::microseconds(round));
                return members[0]->abort();
            }
            while (true) {
                Values mine(4096, r), theirs(4096);
                exchange(*members[r], {send(1 - r, mine), receive(1 - r, theirs)});
            }
        });
    }
}

TEST(Exchange, LengthsThatDifferAreAMismatchOnEveryMember) {
    const auto members = make_thread_communicators(3);
    std::vector<Values> buffers{Values(8), Values(9), Values(8)};
    const auto errors = on_ranks(3, [&](int r) {
        if (r == 0) exchange(*members[0], {send(1, buffers[0])});
        if (r == 1) exchange(*members[1], {receive(0, buffers[1])});
        if (r == 2) exchange(*members[2], {receive(0, buffers[2])});
    });
    for (const auto& error : errors) {
        ASSERT_TRUE(error);
        EXPECT_EQ(error->rule, "exchange-mismatch");
        EXPECT_THAT(error->message,
                    HasSubstr("member 0 sends 32 bytes while member 1 receives 36"));
    }
}

}  // namespace
}  // namespace shardscope
