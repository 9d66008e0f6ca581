// Runs the threads of one block after another on one thread of the host. A thread that waits for
// others (a barrier, a warp's exchange) is a fiber that is gone on with once they have come.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <source_location>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/host_device/fiber.h"
#include "tests/host_device/kernel_call.h"
#include "tests/host_device/kernel_language.h"

namespace host_device {

// What CUDA leaves undefined, and the kernel that did it.
struct KernelError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// The block that this thread of the host is running.
class Block {
public:
    Block(const KernelCall& call, std::mt19937_64& random);
    ~Block();
    void run(std::uint32_t number);

    // For the kernel's threads.
    int sync_threads(int predicate, const std::source_location& where);
    Exchanged exchange(std::uint32_t mask, std::uint64_t value, const std::source_location& where);
    int lane() const { return static_cast<int>(current_ % 32); }
    std::byte* shared() { return shared_.get(); }
    [[noreturn]] void fail(const std::string& what);

private:
    enum class State : std::uint8_t { waiting_to_start, running, at_barrier, in_exchange, ended };
    struct Thread {
        State state = State::waiting_to_start;
        Fiber* fiber = nullptr;
        std::source_location where;
    };
    // An exchange between the lanes of a mask; two sets of values, since a fast lane may bring its
    // next one before a slow one has read.
    struct Meeting {
        std::uint32_t mask = 0, arrived = 0;
        std::uint64_t turn = 0;
        std::array<std::array<std::uint64_t, 32>, 2> values{};
        std::array<std::uint32_t, 2> present{};
        std::source_location where;
    };
    struct Warp {
        std::deque<Meeting> meetings;  // stable addresses
        std::uint32_t ended = 0;       // lanes that left the kernel or never were
    };

    void start_threads();
    void run_thread(std::uint32_t thread);
    void enter(std::uint32_t thread);
    void wait(State state, const std::source_location& where);
    void leave(std::uint32_t thread);
    void complete_if_all_came(std::uint32_t warp, Meeting& meeting);
    void wake(std::uint32_t thread);
    void abandon_rest();
    std::string describe_stuck() const;
    std::string place(std::uint32_t thread) const;

    const KernelCall& call_;
    std::mt19937_64& random_;
    std::uint32_t size_;
    std::unique_ptr<std::byte[]> shared_;
    uint3 index_{};
    std::vector<Thread> threads_;
    std::vector<uint3> positions_;
    std::vector<Warp> warps_;
    std::vector<std::uint32_t> order_;
    std::uint32_t started_ = 0, ended_ = 0, current_ = 0;
    std::uint32_t at_barrier_ = 0;
    std::uint64_t barrier_turn_ = 0;
    std::array<int, 2> any_{};          // of the barrier's predicates, by turn
    std::vector<std::uint32_t> ready_;  // in the order in which they go on
    std::vector<Fiber*> idle_;
    std::optional<std::string> failure_;
};

// Null outside of a kernel.
Block* current_block();

}  // namespace host_device
