#include "core/program/allocation_replay.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace shardscope {
namespace {

constexpr std::int32_t kRepeats = 3;  // micro-batches beyond those in flight

// What one body allocates and frees, in the order of its compute-stream positions.
struct Event {
    std::int32_t position = 0;
    bool frees = false;
    std::uint32_t buffer = 0;
};

// Positions of the bodies: body b has [base[b], base[b + 1]).
std::vector<std::int32_t> bases_of(const RoleProgram& role) {
    std::vector<std::int32_t> base = {0};
    for (const Body& body : role.bodies) {
        const auto count = std::ranges::count_if(
            body.instructions, [](const Instruction& i) { return i.stream == Stream::compute; });
        base.push_back(base.back() + std::max<std::int32_t>(1, static_cast<std::int32_t>(count)));
    }
    return base;
}

std::vector<std::vector<Event>> events_of(const RoleProgram& role,
                                          const std::vector<Lifetime>& lives) {
    const std::vector<std::int32_t> base = bases_of(role);
    std::vector<std::vector<Event>> events(role.bodies.size());
    for (std::uint32_t i = 0; i < role.buffers.size(); ++i) {
        if (role.buffers[i].residence == Residence::persistent ||
            role.buffers[i].tier != Tier::device)
            continue;
        for (const Interval& v : lives[i].intervals) {
            const auto next = std::upper_bound(base.begin(), base.end(), v.first);
            auto& body = events[static_cast<std::size_t>(next - base.begin()) - 1];
            body.push_back({v.first, false, i});
            body.push_back({v.last, true, i});
        }
    }
    // At one position everything is allocated before anything is freed.
    for (auto& body : events)
        std::ranges::stable_sort(body, [](const Event& a, const Event& b) {
            return std::pair(a.position, a.frees) < std::pair(b.position, b.frees);
        });
    return events;
}

// Whose memory the stream's tensors are of: what tensor- and context-parallel collectives and transfers between
// stages bring is allocated on the stream that computes; the gathers and reductions of ZeRO and FSDP allocate on
// their own.
Stream allocates_for(Stream stream) {
    return stream == Stream::gather || stream == Stream::reduce ? stream : Stream::compute;
}

std::vector<int> streams_of(const RoleProgram& role) {
    std::vector<int> streams(role.buffers.size(), -1);
    for (const Body& body : role.bodies)
        for (const Instruction& instruction : body.instructions)
            for_each_operand(instruction, [&](const Operand& o, Access) {
                int& stream = streams[o.buffer.index()];
                if (stream < 0) stream = static_cast<int>(allocates_for(instruction.stream));
            });
    for (int& stream : streams) stream = std::max(stream, 0);
    return streams;
}

bool is_of_role(const RoleProgram& role, const Task& task) {
    return role.bodies[task.body.index()].chunk < 0;
}

// Micro-batches that have begun by that task; none where it is replayed anyhow, with the last one or after all.
std::int32_t begun_by(const RoleProgram& role, std::size_t task) {
    const std::vector<Task>& schedule = role.schedule;
    if (task >= schedule.size() || is_of_role(role, schedule[task]) ||
        schedule[task].micro_batch == schedule.back().micro_batch)
        return 0;
    std::int32_t begun = 0;
    for (std::size_t t = 0; t <= task; ++t) begun = std::max(begun, schedule[t].micro_batch + 1);
    return begun;
}

// By micro-batch: the first and the last task of it in the schedule.
std::map<std::int32_t, Interval> spans_of(const RoleProgram& role) {
    std::map<std::int32_t, Interval> spans;
    for (std::size_t t = 0; t < role.schedule.size(); ++t) {
        if (is_of_role(role, role.schedule[t])) continue;
        const auto now = static_cast<std::int32_t>(t);
        const auto [at, fresh] =
            spans.try_emplace(role.schedule[t].micro_batch, Interval{now, now});
        if (!fresh) at->second.last = now;
    }
    return spans;
}

// Most micro-batches in flight at once.
std::int32_t most_in_flight(const RoleProgram& role,
                            const std::map<std::int32_t, Interval>& spans) {
    std::vector<std::int32_t> change(role.schedule.size() + 1);
    for (const auto& [micro_batch, span] : spans) {
        ++change[static_cast<std::size_t>(span.first)];
        --change[static_cast<std::size_t>(span.last) + 1];
    }
    std::int32_t flying = 0, most = 0;
    for (const std::int32_t c : change) most = std::max(most, flying += c);
    return most;
}

// Those that the replay takes: the first ones, the last one, and all that are in flight when most is live. With zb-v
// that may be when the last one is computed, beside others whose weight gradients are put off.
std::set<std::int32_t> replayed_micro_batches(const RoleProgram& role, std::size_t fullest) {
    const std::map<std::int32_t, Interval> spans = spans_of(role);
    const std::int32_t first =
        std::max(most_in_flight(role, spans), begun_by(role, fullest)) + kRepeats;
    std::set<std::int32_t> replayed;
    const auto peak = static_cast<std::int32_t>(fullest);
    for (const auto& [micro_batch, span] : spans)
        if (micro_batch + 1 < first || (span.first <= peak && peak <= span.last))
            replayed.insert(micro_batch);
    if (!role.schedule.empty()) replayed.insert(role.schedule.back().micro_batch);
    return replayed;
}

class Replay {
public:
    // Steps of those micro-batches.
    Replay(const RoleProgram& role, const std::vector<Lifetime>& lives, CachingAllocator allocator,
           const std::set<std::int32_t>& micro_batches)
        : role_(role),
          lives_(lives),
          events_(events_of(role, lives)),
          streams_(streams_of(role)),
          allocator_(std::move(allocator)) {
        for (std::size_t i = 0; i < role.buffers.size(); ++i)
            if (role.buffers[i].residence == Residence::persistent &&
                role.buffers[i].tier == Tier::device)
                allocator_.allocate(role.buffers[i].size(), 0);
        choose_tasks(micro_batches);
        number_copies();
        find_last_uses();
    }

    void step() {
        for (std::size_t t = 0; t < tasks_.size(); ++t)
            for (const Event& event : events_[tasks_[t].body]) {
                const std::size_t copy = copy_of(tasks_[t], event.buffer);
                if (!event.frees)
                    allocate(copy, event.buffer);
                else if (!lives_[event.buffer].carried || last_use_[copy] == t)
                    release(copy);
            }
    }

    const CachingAllocator& allocator() const { return allocator_; }

private:
    struct ReplayedTask {
        std::size_t body = 0;
        std::size_t flight = 0;  // its micro-batch, counted among those replayed
    };

    void choose_tasks(const std::set<std::int32_t>& micro_batches) {
        std::map<std::int32_t, std::size_t> flights;
        for (const Task& task : role_.schedule) {
            if (!is_of_role(role_, task) && !micro_batches.contains(task.micro_batch)) continue;
            const auto flight = flights.try_emplace(task.micro_batch, flights.size()).first->second;
            tasks_.push_back({task.body.index(), flight});
        }
        flights_ = flights.size();
    }

    // One of each buffer, but of those that a micro-batch carries from task to task one for each of them.
    void number_copies() {
        first_copy_.resize(role_.buffers.size());
        std::size_t copies = 0;
        for (std::size_t i = 0; i < first_copy_.size(); ++i) {
            first_copy_[i] = copies;
            copies += lives_[i].carried ? flights_ : 1;
        }
        live_.assign(copies, CachingAllocator::kNone);
    }
    std::size_t copy_of(const ReplayedTask& task, std::uint32_t buffer) const {
        return first_copy_[buffer] + (lives_[buffer].carried ? task.flight : 0);
    }

    // The task in which each copy is used for the last time.
    void find_last_uses() {
        last_use_.resize(live_.size());
        for (std::size_t t = 0; t < tasks_.size(); ++t)
            for (const Event& event : events_[tasks_[t].body])
                last_use_[copy_of(tasks_[t], event.buffer)] = t;
    }

    void allocate(std::size_t copy, std::uint32_t buffer) {
        if (live_[copy] == CachingAllocator::kNone)
            live_[copy] = allocator_.allocate(role_.buffers[buffer].size(), streams_[buffer]);
    }
    void release(std::size_t copy) {
        if (live_[copy] == CachingAllocator::kNone) return;
        allocator_.free(live_[copy]);
        live_[copy] = CachingAllocator::kNone;
    }

    const RoleProgram& role_;
    const std::vector<Lifetime>& lives_;
    const std::vector<std::vector<Event>> events_;
    const std::vector<int> streams_;
    CachingAllocator allocator_;
    std::vector<ReplayedTask> tasks_;
    std::size_t flights_ = 0;
    std::vector<std::size_t> first_copy_;        // by buffer
    std::vector<std::size_t> last_use_;          // by copy: of `tasks_`
    std::vector<CachingAllocator::Block> live_;  // by copy
};

}  // namespace

AllocationReplay replay_allocations(const RoleProgram& role, const std::vector<Lifetime>& lives,
                                    Segments segments, std::size_t fullest, Bytes limit) {
    Replay replay(role, lives, CachingAllocator(segments, limit),
                  replayed_micro_batches(role, fullest));
    replay.step();
    const std::int64_t first = replay.allocator().retries();
    replay.step();
    const CachingAllocator& allocator = replay.allocator();
    return {allocator.peak_allocated(), allocator.peak_reserved(), allocator.retries() - first};
}

}  // namespace shardscope
