#include "tests/host_device/block.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include <fmt/core.h>

#include "tests/host_device/kernel_language.h"

namespace host_device {

namespace {

constexpr std::size_t kMostReady = 4096;

// Thrown in a thread that must not go on, caught where it was started.
struct Abandoned {};

// Fibers are kept from block to block: making a stack costs more than most blocks.
thread_local std::deque<Fiber> fibers;
thread_local Block* running = nullptr;

std::uint32_t volume(const dim3& d) { return d.x * d.y * d.z; }

uint3 position(std::uint32_t i, const dim3& d) { return {i % d.x, i / d.x % d.y, i / (d.x * d.y)}; }

bool same(const std::source_location& a, const std::source_location& b) {
    return a.line() == b.line() &&
           (a.file_name() == b.file_name() || std::strcmp(a.file_name(), b.file_name()) == 0);
}

// Ascending, descending or shuffled: who forgot a barrier meets an order that shows it.
void choose_order(std::vector<std::uint32_t>& order, std::mt19937_64& random) {
    std::iota(order.begin(), order.end(), 0u);
    switch (random() % 3) {
        case 0:
            break;
        case 1:
            std::reverse(order.begin(), order.end());
            break;
        default:
            std::shuffle(order.begin(), order.end(), random);
    }
}

}  // namespace

Block* current_block() { return running; }

Block::Block(const KernelCall& call, std::mt19937_64& random)
    : call_(call),
      random_(random),
      size_(volume(call.block)),
      // Its own allocation of exactly this size, so that AddressSanitizer sees its ends.
      shared_(new (std::align_val_t{16}) std::byte[call.shared_bytes]),
      threads_(size_),
      warps_((size_ + 31) / 32),
      order_(size_) {
    for (std::uint32_t i = 0; i < size_; ++i) positions_.push_back(position(i, call.block));
    for (Fiber& fiber : fibers) idle_.push_back(&fiber);
}

Block::~Block() { ::operator delete[](shared_.release(), std::align_val_t{16}); }

void Block::run(std::uint32_t number) {
    index_ = position(number, call_.grid);
    std::memset(shared_.get(), 0xFF, call_.shared_bytes);
    std::fill(threads_.begin(), threads_.end(), Thread{});
    for (Warp& warp : warps_) warp = {};
    if (size_ % 32 != 0) warps_.back().ended = ~0u << (size_ % 32);
    choose_order(order_, random_);
    started_ = ended_ = at_barrier_ = 0;
    any_ = {};

    running = this;
    blockIdx = index_;
    blockDim = call_.block;
    gridDim = call_.grid;
    start_threads();
    for (std::size_t next = 0; next < ready_.size() && !failure_; ++next) {
        if (next == kMostReady) {  // forgets those that have run
            ready_.erase(ready_.begin(), ready_.begin() + static_cast<std::ptrdiff_t>(next));
            next = 0;
        }
        const std::uint32_t thread = ready_[next];
        enter(thread);
        Fiber* fiber = threads_[thread].fiber;
        fiber->resume();
        if (fiber->ended()) idle_.push_back(fiber);
    }
    ready_.clear();
    if (!failure_ && ended_ < size_) failure_ = describe_stuck();
    if (failure_) abandon_rest();
    running = nullptr;
    if (failure_) throw KernelError(*failure_);
}

// A fiber runs threads for as long as they do not wait; who waits keeps it.
void Block::start_threads() {
    while (started_ < size_ && !failure_) {
        if (idle_.empty()) idle_.push_back(&fibers.emplace_back());
        Fiber* fiber = idle_.back();
        idle_.pop_back();
        fiber->start([this, fiber] {
            while (started_ < size_ && !failure_) {
                const std::uint32_t thread = order_[started_++];
                threads_[thread].fiber = fiber;
                run_thread(thread);
            }
        });
        if (fiber->ended()) idle_.push_back(fiber);
    }
}

void Block::run_thread(std::uint32_t thread) {
    enter(thread);
    try {
        call_.thread();
    } catch (const Abandoned&) {
    }
    leave(thread);
}

void Block::enter(std::uint32_t thread) {
    current_ = thread;
    threads_[thread].state = State::running;
    threadIdx = positions_[thread];
}

void Block::wait(State state, const std::source_location& where) {
    Thread& thread = threads_[current_];
    thread.state = state;
    thread.where = where;
    thread.fiber->suspend();
    if (failure_) throw Abandoned{};
}

void Block::leave(std::uint32_t thread) {
    threads_[thread].state = State::ended;
    ++ended_;
    Warp& warp = warps_[thread / 32];
    warp.ended |= 1u << (thread % 32);
    for (Meeting& meeting : warp.meetings) complete_if_all_came(thread / 32, meeting);
}

int Block::sync_threads(int predicate, const std::source_location& where) {
    const std::uint64_t turn = barrier_turn_;
    int& any = any_[turn % 2];
    if (at_barrier_ == 0) any = 0;
    any |= predicate != 0 ? 1 : 0;
    threads_[current_].where = where;
    if (++at_barrier_ < size_) {
        wait(State::at_barrier, where);
        return any;
    }
    const std::uint32_t last = current_;
    for (std::uint32_t i : order_) {
        if (!same(threads_[i].where, where)) {
            fail(fmt::format("divergent __syncthreads: {}, {}", place(i), place(last)));
        }
    }
    at_barrier_ = 0;
    ++barrier_turn_;
    for (std::uint32_t i : order_) {
        if (i != last) wake(i);
    }
    return any;
}

Exchanged Block::exchange(std::uint32_t mask, std::uint64_t value,
                          const std::source_location& where) {
    const std::uint32_t lane = current_ % 32, bit = 1u << lane, warp = current_ / 32;
    if ((mask & bit) == 0) {
        fail(fmt::format("warp operation at line {}: mask {:#x} does not name lane {} itself",
                         where.line(), mask, lane));
    }
    auto& meetings = warps_[warp].meetings;
    auto found = std::find_if(meetings.begin(), meetings.end(),
                              [&](const Meeting& m) { return m.mask == mask; });
    Meeting& meeting = found != meetings.end() ? *found : meetings.emplace_back();
    meeting.mask = mask;
    const std::size_t side = meeting.turn % 2;
    if (meeting.arrived == 0) {
        meeting.where = where;
    } else if (!same(meeting.where, where)) {
        fail(fmt::format("lanes of a warp are at different operations: lines {} and {}",
                         meeting.where.line(), where.line()));
    }
    meeting.values[side][lane] = value;
    meeting.arrived |= bit;
    const std::uint64_t turn = meeting.turn;
    complete_if_all_came(warp, meeting);
    if (meeting.turn == turn) wait(State::in_exchange, where);
    return {meeting.values[side].data(), meeting.present[side]};
}

void Block::complete_if_all_came(std::uint32_t warp, Meeting& meeting) {
    if (meeting.arrived == 0) return;
    if ((meeting.mask & ~warps_[warp].ended & ~meeting.arrived) != 0) return;
    const std::uint32_t came = meeting.arrived;
    meeting.present[meeting.turn % 2] = came;
    meeting.arrived = 0;
    ++meeting.turn;
    for (std::uint32_t lane = 0; lane < 32; ++lane) {
        const std::uint32_t thread = warp * 32 + lane;
        if ((came >> lane & 1u) != 0 && threads_[thread].state == State::in_exchange) wake(thread);
    }
}

void Block::wake(std::uint32_t thread) { ready_.push_back(thread); }

void Block::fail(const std::string& what) {
    failure_ = fmt::format("kernel {}, block ({}, {}, {}): {}", call_.name, index_.x, index_.y,
                           index_.z, what);
    throw Abandoned{};
}

// The waiting threads unwind their stacks, which later blocks use again.
void Block::abandon_rest() {
    ready_.clear();
    for (Thread& thread : threads_) {
        if (thread.state != State::at_barrier && thread.state != State::in_exchange) continue;
        Fiber* fiber = thread.fiber;
        fiber->resume();
    }
    ready_.clear();
}

std::string Block::place(std::uint32_t thread) const {
    const uint3 at = position(thread, call_.block);
    const std::string name = fmt::format("thread ({}, {}, {})", at.x, at.y, at.z);
    const Thread& t = threads_[thread];
    if (t.state == State::ended) return name + " has ended";
    std::string file = t.where.file_name();
    return fmt::format("{} is at {}:{}", name, file.substr(file.rfind('/') + 1), t.where.line());
}

std::string Block::describe_stuck() const {
    std::optional<std::uint32_t> at_barrier, elsewhere, in_exchange;
    for (std::uint32_t i = 0; i < size_; ++i) {
        const State state = threads_[i].state;
        auto& slot = state == State::at_barrier    ? at_barrier
                     : state == State::in_exchange ? in_exchange
                                                   : elsewhere;
        if (!slot) slot = i;
    }
    const std::string head =
        fmt::format("kernel {}, block ({}, {}, {}): ", call_.name, index_.x, index_.y, index_.z);
    if (at_barrier) {
        return head + fmt::format("divergent __syncthreads: {}, {}", place(*at_barrier),
                                  place(elsewhere ? *elsewhere : *in_exchange));
    }
    return head +
           fmt::format("a warp operation waits for lanes that never come: {}", place(*in_exchange));
}

void run_kernel(const KernelCall& call, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    Block block(call, random);
    const std::uint64_t blocks = std::uint64_t{call.grid.x} * call.grid.y * call.grid.z;
    // A first block and a step without common divisor visit every block once, in no usual order.
    std::uint64_t step = 1, first = 0;
    if (blocks > 1 && random() % 2 == 0) {
        first = random() % blocks;
        step = 1 + random() % (blocks - 1);
        while (std::gcd(step, blocks) != 1) --step;
    }
    for (std::uint64_t i = 0; i < blocks; ++i) {
        block.run(static_cast<std::uint32_t>((first + i * step) % blocks));
    }
}

// kernel_language.h

int sync_threads(int predicate, const std::source_location& where) {
    return running->sync_threads(predicate, where);
}
Exchanged warp_exchange(unsigned mask, std::uint64_t value, const std::source_location& where) {
    return running->exchange(mask, value, where);
}
int lane_index() { return running->lane(); }
std::byte* dynamic_shared_bytes() { return running->shared(); }
void fail_kernel(const char* what) { running->fail(what); }

}  // namespace host_device
