// A stack of its own to run a function on, which may stop in the middle and go on later.
//
// Not thread-safe: a fiber is resumed by the operating system's thread that started what it runs.
#pragma once

#include <cstddef>
#include <functional>

namespace host_device {

class Fiber {
public:
    Fiber();
    ~Fiber();
    Fiber(const Fiber&) = delete;
    Fiber& operator=(const Fiber&) = delete;

    // Runs `work` until it suspends or ends. The last work must have ended. It may throw nothing.
    void start(std::function<void()> work);
    // Goes on where the work suspended.
    void resume();
    // Called by the work: back to whoever started or resumed it.
    void suspend();
    bool ended() const { return ended_; }

private:
    [[noreturn]] static void enter();
    [[noreturn]] void loop();
    void arrived_in_fiber() const;
    void arrived_in_caller() const;

    std::byte* stack_ = nullptr;  // lowest address, after the guard page
    void* fiber_ = nullptr;       // stack pointers while the other one runs
    void* caller_ = nullptr;
    std::function<void()> work_;
    bool ended_ = true;

    // What the sanitizers want to know of a switch; unused without them.
    mutable void* fiber_fake_stack_ = nullptr;
    mutable void* caller_fake_stack_ = nullptr;
    mutable const void* caller_bottom_ = nullptr;
    mutable std::size_t caller_size_ = 0;
    void* fiber_thread_ = nullptr;
    void* caller_thread_ = nullptr;
};

}  // namespace host_device
