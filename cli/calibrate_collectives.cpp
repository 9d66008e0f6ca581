#include "cli/calibrate_collectives.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <thread>

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
        case CollectiveKind::all_reduce: return group.all_reduce(recv, c.elements, DType::fp32);
        case CollectiveKind::reduce_scatter:
            return group.reduce_scatter(send, recv, shard, DType::fp32);
        case CollectiveKind::all_gather: return group.all_gather(send, recv, shard, DType::fp32);
    }
}

// One rank: every case in order; rank 0 reports. A barrier before each call lets all start together.
std::vector<double> run_rank(const std::vector<Case>& cases, Communicator& group) {
    std::int64_t most = 0;
    for (const Case& c : cases) most = std::max(most, c.elements);
    Buffers buffers(most);
    std::vector<double> result;
    for (const Case& c : cases) {
        std::vector<double> times;
        for (int repeat = 0; repeat <= c.repeats; ++repeat) {
            group.barrier();
            const auto start = Clock::now();
            call(c, group, buffers);
            if (repeat > 0) times.push_back(std::chrono::duration<double>(Clock::now() - start).count());
        }
        result.push_back(quantile(std::move(times), 0.25));
    }
    return result;
}

std::vector<double> run_ranks(const std::vector<Case>& cases, int ranks) {
    auto groups = make_thread_communicators(ranks);
    std::vector<double> times;
    std::exception_ptr failure;
    {
        std::vector<std::jthread> threads;
        for (int rank = 0; rank < ranks; ++rank)
            threads.emplace_back([&, rank] {
                Communicator& group = *groups[static_cast<std::size_t>(rank)];
                try {
                    auto measured = run_rank(cases, group);
                    if (rank == 0) times = std::move(measured);
                } catch (...) {
                    if (rank == 0) failure = std::current_exception();
                    group.abort();
                }
            });
    }
    if (failure) std::rethrow_exception(failure);
    return times;
}

// About as long for every size: from hundreds of repeats to a handful.
int repeats_for(std::int64_t bytes, bool quick) {
    const std::int64_t most = quick ? 30 : 200;
    return static_cast<int>(std::clamp<std::int64_t>((quick ? 64 << 20 : 512 << 20) / bytes, 7, most));
}

std::vector<Case> cases(std::int64_t largest, bool quick) {
    std::vector<Case> list;
    for (std::int64_t bytes = 1 << 10; bytes <= largest; bytes *= quick ? 16 : 4)
        for (const CollectiveKind kind : {CollectiveKind::all_reduce, CollectiveKind::reduce_scatter,
                                          CollectiveKind::all_gather})
            list.push_back({kind, bytes / size_of(DType::fp32), repeats_for(bytes, quick)});
    return list;
}

}  // namespace

std::vector<CollectiveSample> measure_collectives(const CalibrateOptions& options,
                                                  const CalibrateProgress& progress) {
    std::vector<CollectiveSample> samples;
    for (const int ranks : {2, 4}) {
        progress(fmt::format("collectives of {} ranks", ranks), ranks == 2 ? 0.0 : 0.5);
        const auto list = cases(options.quick || ranks > 2 ? 16 << 20 : 64 << 20, options.quick);
        const auto times = run_ranks(list, ranks);
        for (std::size_t i = 0; i < list.size(); ++i)
            samples.push_back({std::string(collective_name(list[i].kind)), ranks,
                               Bytes(list[i].elements * size_of(DType::fp32)), Seconds(times[i])});
    }
    return samples;
}

}  // namespace shardscope
