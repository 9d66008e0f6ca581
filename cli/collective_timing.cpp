#include "cli/collective_timing.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <stdexcept>
#include <string>

#include "cli/measure_clock.h"

namespace shardscope {
namespace {

using Clock = std::chrono::steady_clock;

struct Buffers {
    std::vector<float> send, recv;
    explicit Buffers(std::int64_t elements)
        : send(static_cast<std::size_t>(elements), 1.0f),
          recv(static_cast<std::size_t>(elements), 1.0f) {}
};

void call(const CollectiveCase& c, Communicator& group, Buffers& buffers) {
    auto* send = reinterpret_cast<std::byte*>(buffers.send.data());
    auto* recv = reinterpret_cast<std::byte*>(buffers.recv.data());
    const std::int64_t shard = c.elements / group.size();
    if (!c.kind) {
        const bool sends = group.rank() == 0;
        const Transfer end{1 - group.rank(), sends, sends ? send : recv, c.bytes().value};
        return group.exchange({&end, 1});
    }
    switch (*c.kind) {
        case CollectiveKind::all_reduce:
            return group.all_reduce(recv, c.elements, DType::fp32);
        case CollectiveKind::reduce_scatter:
            return group.reduce_scatter(send, recv, shard, DType::fp32);
        case CollectiveKind::all_gather:
            return group.all_gather(send, recv, shard, DType::fp32);
        case CollectiveKind::all_to_all:
        case CollectiveKind::dispatch:
        case CollectiveKind::combine:
            throw std::logic_error("what experts' ranks exchange is not timed");
    }
}

CollectiveTiming time_one(const CollectiveCase& c, Communicator& group, Buffers& buffers) {
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
    CollectiveTiming timing;
    timing.wall = quantile(walls, 0.5);
    timing.wall_low = quantile(walls, 0.25);
    timing.spread = (quantile(walls, 0.75) - timing.wall_low) / timing.wall;
    timing.thread = quantile(std::move(threads), 0.5);
    return timing;
}

// About as long for every size: from hundreds of repeats to a handful.
int repeats_for(std::int64_t bytes, const CollectiveGrid& grid) {
    return static_cast<int>(std::clamp<std::int64_t>(grid.budget / bytes, 7, grid.most));
}

template <class Kinds>
std::vector<CollectiveCase> cases_of(const Kinds& kinds, const CollectiveGrid& grid) {
    std::vector<CollectiveCase> list;
    for (std::int64_t bytes = 1 << 10; bytes <= grid.largest; bytes *= grid.factor)
        for (const std::optional<CollectiveKind> kind : kinds)
            list.push_back({kind, bytes / size_of(DType::fp32), repeats_for(bytes, grid)});
    return list;
}

}  // namespace

std::string CollectiveCase::name() const {
    return kind ? std::string(collective_name(*kind)) : "transfer";
}

std::vector<CollectiveTiming> time_collectives(const std::vector<CollectiveCase>& cases,
                                               Communicator& group) {
    std::int64_t most = 0;
    for (const CollectiveCase& c : cases) most = std::max(most, c.elements);
    Buffers buffers(most);
    std::vector<CollectiveTiming> timings;
    for (const CollectiveCase& c : cases) timings.push_back(time_one(c, group, buffers));
    return timings;
}

std::vector<CollectiveCase> collective_cases(const CollectiveGrid& grid) {
    return cases_of(std::array{CollectiveKind::all_reduce, CollectiveKind::reduce_scatter,
                               CollectiveKind::all_gather},
                    grid);
}

std::vector<CollectiveCase> transfer_cases(const CollectiveGrid& grid) {
    return cases_of(std::array{std::optional<CollectiveKind>()}, grid);
}

}  // namespace shardscope
