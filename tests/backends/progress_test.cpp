// Random programs of stages that exchange in random orders: those that the deadlock check lets through
// run to their end, those that it refuses do not.
#include <algorithm>
#include <array>
#include <random>

#include <gtest/gtest.h>

#include "backends/cpu/cpu_executor.h"
#include "backends/interpreter.h"
#include "core/program/check_communication.h"
#include "core/program/check_progress.h"
#include "tests/support/hand_made.h"
#include "tests/support/thread_ranks.h"

namespace shardscope {
namespace {

using namespace std::chrono_literals;
using test::HandMade;

constexpr Stream kStreamsUsed[] = {Stream::compute, Stream::activations_in, Stream::activations_out,
                                   Stream::gradients_in, Stream::gradients_out};
// By TransferLane: where its sends and its receives go.
constexpr Stream kSends[] = {Stream::activations_out, Stream::gradients_out, Stream::compute};
constexpr Stream kReceives[] = {Stream::activations_in, Stream::gradients_in, Stream::compute};

// Every stage issues its ends of the same few transfers and collectives, in its own order, with events
// between them on streams of its own choice. Each has a buffer of its own.
class RandomStages {
public:
    RandomStages(unsigned seed, int stages) : random_(seed) {
        for (int s = 0; s < stages; ++s) {
            all_.emplace_back(stages);
            all_.back().role().events = 3;
        }
        const int transfers = pick(1, 3), gatherings = pick(0, 2);
        std::vector<std::array<int, 3>> ends;  // from, to, lane
        for (int t = 0; t < transfers; ++t) {
            const int from = pick(0, stages - 1);
            ends.push_back({from, (from + pick(1, stages - 1)) % stages, pick(0, 2)});
        }
        for (int s = 0; s < stages; ++s) fill(s, ends, gatherings);
    }

    const std::vector<HandMade>& all() const { return all_; }

private:
    int pick(int first, int last) { return std::uniform_int_distribution(first, last)(random_); }
    Stream stream() { return kStreamsUsed[pick(0, 4)]; }

    void fill(int s, const std::vector<std::array<int, 3>>& ends, int gatherings) {
        HandMade& p = all_[static_cast<std::size_t>(s)];
        const auto own = [&] { return p.buffer("own", 8); };
        p.body("body");
        for (const auto& [from, to, lane] : ends) {
            if (from == s) p.exchange({{to, true, own()}}, kSends[lane]);
            if (to == s) p.exchange({{from, false, own()}}, kReceives[lane]);
        }
        for (int e = 0; e < 3; ++e) {
            p.record(EventId(e), stream());
            p.wait(EventId(e), stream()).wait(EventId(e), stream());
        }
        auto& list = p.role().bodies[0].instructions;
        std::shuffle(list.begin(), list.end(), random_);
        for (int g = 0; g < gatherings; ++g) {
            p.all_reduce(own(), Stream::compute);
            std::rotate(list.begin() + pick(0, static_cast<int>(list.size()) - 1), list.end() - 1,
                        list.end());
        }
    }

    std::mt19937 random_;
    std::vector<HandMade> all_;
};

bool gets_through(const Program& program) {
    try {
        check_progress(program, Host::runs_compute);
    } catch (const Error&) {
        return false;
    }
    return true;
}

// Runs two steps on a thread per stage; `limit` after the start the run is aborted if not zero.
// Returns how many stages came to the end.
int finished(const std::vector<HandMade>& stages, const Program& program,
             std::chrono::milliseconds limit) {
    const int ranks = static_cast<int>(stages.size());
    auto communicators = make_rank_communicators(program, ranks);
    std::vector<std::unique_ptr<CpuExecutor>> executors;
    for (std::size_t r = 0; r < stages.size(); ++r)
        executors.push_back(std::make_unique<CpuExecutor>(
            program.roles[r], std::move(communicators[r]), BatchLoader()));
    const auto errors = test::on_ranks(limit > 0ms ? ranks + 1 : ranks, [&](int r) {
        if (r == ranks) {
            std::this_thread::sleep_for(limit);
            for (const auto& e : executors) e->abort();
            return;
        }
        const auto i = static_cast<std::size_t>(r);
        std::byte* const memory = executors[i]->allocate_arena(stages[i].plan.arena);
        Interpreter interpreter(program, Rank(r), stages[i].plan, *executors[i], memory);
        for (int step = 0; step < 2; ++step) interpreter.run_step(step);
    });
    return static_cast<int>(std::count_if(errors.begin(), errors.begin() + ranks,
                                          [](const auto& error) { return !error; }));
}

TEST(Progress, TheDeadlockCheckTellsWhichProgramsFinish) {
    int through = 0, stuck = 0;
    for (unsigned seed = 0; seed < 300; ++seed) {
        const int stages = 2 + static_cast<int>(seed % 2);
        const RandomStages random(seed, stages);
        const Program program = test::stages_of(random.all());
        ASSERT_NO_THROW(check_communication(program));
        const bool passes = gets_through(program);
        SCOPED_TRACE(seed);
        if (passes) {
            ++through;
            EXPECT_EQ(finished(random.all(), program, 0ms), stages);
        } else if (++stuck <= 20) {
            EXPECT_LT(finished(random.all(), program, 30ms), stages);
        }
    }
    EXPECT_GT(through, 50);
    EXPECT_GT(stuck, 50);
}

}  // namespace
}  // namespace shardscope
