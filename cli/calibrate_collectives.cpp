#include "cli/calibrate_collectives.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <future>

#include <fmt/format.h>

#include "backends/cpu/thread_communicator.h"
#include "cli/measure_clock.h"
#include "core/program/instruction.h"

namespace shardscope {
namespace {

using Clock = std::chrono::steady_clock;

struct Case {
    CollectiveKind kind = CollectiveKind::all_reduce;
    std::int64_t elements = 0;  // of the whole buffer
    int repeats = 0;
};

// Buffers of one rank, large enough for every case; separate ones for sending and receiving, as
// gathered layers and gradient shards have.
struct Buffers {
    std::vector<float> send, recv;
    explicit Buffers(std::int64_t elements)
        : send(static_cast<std::size_t>(elements), 1.0f),
          recv(static_cast<std::size_t>(elements), 1.0f) {}
};

void call(const Case& c, Communicator& group, Buffers& buffers) {
    auto* send = reinterpret_cast<std::byte*>(buffers.send.data());
    auto* recv = reinterpret_cast<std::byte*>(buffers.recv.data());
    const std::int64_t shard = c.elements / group.size();
    switch (c.kind) {
        case CollectiveKind::all_reduce:
            return group.all_reduce(recv, c.elements, DType::fp32);
        case CollectiveKind::reduce_scatter:
            return group.reduce_scatter(send, recv, shard, DType::fp32);
        case CollectiveKind::all_gather:
            return group.all_gather(send, recv, shard, DType::fp32);
    }
}

struct Timing {
    double wall = 0, thread = 0;  // seconds of one call
};

// One rank: every case in order. A barrier before each call lets all start together.
std::vector<Timing> run_rank(const std::vector<Case>& cases, Communicator& group) {
    std::int64_t most = 0;
    for (const Case& c : cases) most = std::max(most, c.elements);
    Buffers buffers(most);
    std::vector<Timing> result;
    for (const Case& c : cases) {
        std::vector<double> walls, threads;
        for (int repeat = 0; repeat <= c.repeats; ++repeat) {
            group.barrier();
            const auto start = Clock::now();
            const Seconds thread_start = thread_time();
            call(c, group, buffers);
            if (repeat == 0) continue;
            threads.push_back((thread_time() - thread_start).value);
            walls.push_back(std::chrono::duration<double>(Clock::now() - start).count());
        }
        result.push_back({quantile(std::move(walls), 0.25), quantile(std::move(threads), 0.5)});
    }
    return result;
}

// The slowest rank's processor time, and rank 0's wall time, of every case.
std::vector<Timing> run_ranks(const std::vector<Case>& cases, int ranks) {
    auto groups = make_thread_communicators(ranks);
    std::vector<std::future<std::vector<Timing>>> members;
    for (int rank = 0; rank < ranks; ++rank)
        members.push_back(std::async(std::launch::async, [&, rank] {
            Communicator& group = *groups[static_cast<std::size_t>(rank)];
            try {
                return run_rank(cases, group);
            } catch (...) {
                group.abort();
                throw;
            }
        }));
    std::vector<Timing> slowest = members[0].get();
    for (std::size_t rank = 1; rank < members.size(); ++rank) {
        const std::vector<Timing> times = members[rank].get();
        for (std::size_t i = 0; i < times.size(); ++i)
            slowest[i].thread = std::max(slowest[i].thread, times[i].thread);
    }
    return slowest;
}

// About as long for every size: from hundreds of repeats to a handful.
int repeats_for(std::int64_t bytes, bool quick) {
    const std::int64_t most = quick ? 30 : 200;
    return static_cast<int>(
        std::clamp<std::int64_t>((quick ? 64 << 20 : 512 << 20) / bytes, 7, most));
}

std::vector<Case> cases(std::int64_t largest, bool quick) {
    std::vector<Case> list;
    for (std::int64_t bytes = 1 << 10; bytes <= largest; bytes *= quick ? 16 : 4)
        for (const CollectiveKind kind :
             {CollectiveKind::all_reduce, CollectiveKind::reduce_scatter,
              CollectiveKind::all_gather})
            list.push_back({kind, bytes / size_of(DType::fp32), repeats_for(bytes, quick)});
    return list;
}

}  // namespace

std::vector<CollectiveSample> measure_collectives(int cores, const CalibrateOptions& options,
                                                  const CalibrateProgress& progress) {
    std::vector<CollectiveSample> samples;
    for (const int ranks : {2, 4}) {
        progress(fmt::format("collectives of {} ranks", ranks), ranks == 2 ? 0.0 : 0.5);
        const auto list = cases(options.quick || ranks > 2 ? 16 << 20 : 64 << 20, options.quick);
        const auto times = run_ranks(list, ranks);
        const double turns = std::max(1.0, ranks / static_cast<double>(cores));
        std::array<double, 3> latency{};  // by kind; the list begins with the smallest of each
        for (std::size_t i = 0; i < latency.size(); ++i)
            latency[i] = std::max(0.0, times[i].wall - times[i].thread * turns);
        for (std::size_t i = 0; i < list.size(); ++i)
            samples.push_back({std::string(collective_name(list[i].kind)), ranks,
                               Bytes(list[i].elements * size_of(DType::fp32)),
                               Seconds(times[i].thread * turns + latency[i % latency.size()])});
    }
    return samples;
}

}  // namespace shardscope
