#include "tests/host_device/fiber.h"

#include <atomic>
#include <cstdint>
#include <new>
#include <utility>

#include <sys/mman.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

#if !defined(__x86_64__)
#error "the host device's switch of stacks is written for x86-64 alone"
#endif

// Saves what a called function must keep, stores the stack pointer at *save and goes on from `load`.
extern "C" void host_device_switch(void** save, void* load);
asm(R"(
.text
.globl host_device_switch
.type host_device_switch,@function
host_device_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size host_device_switch, .-host_device_switch
)");

namespace host_device {

namespace {

constexpr std::size_t kStackBytes = std::size_t{256} << 10;
// Tops of stacks are spread over this much, or the hot ends of all would meet in the same lines of the
// caches.
constexpr std::size_t kSpread = std::size_t{16} << 10;
constexpr std::size_t kSpreadStep = 320;

std::size_t page() { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }

// Who enters a new stack: its first instructions have no argument.
thread_local Fiber* entering = nullptr;

}  // namespace

Fiber::Fiber() {
    void* memory = mmap(nullptr, page() + kStackBytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    mprotect(memory, page(), PROT_NONE);  // an overflow ends in a fault, not in another stack
    stack_ = static_cast<std::byte*>(memory) + page();
    static std::atomic<std::size_t> made = 0;
    const std::size_t below_top = made++ * kSpreadStep % kSpread / 64 * 64;
    // From the top: the missing return address of enter(), enter() itself, six saved registers.
    auto* top = static_cast<std::uint64_t*>(static_cast<void*>(stack_ + kStackBytes - below_top));
    top[-1] = 0;
    top[-2] = reinterpret_cast<std::uint64_t>(&Fiber::enter);
    for (int i = 3; i <= 8; ++i) top[-i] = 0;
    fiber_ = top - 8;
#if defined(__SANITIZE_THREAD__)
    fiber_thread_ = __tsan_create_fiber(0);
#endif
}

Fiber::~Fiber() {
#if defined(__SANITIZE_THREAD__)
    __tsan_destroy_fiber(fiber_thread_);
#endif
    munmap(stack_ - page(), page() + kStackBytes);
}

void Fiber::start(std::function<void()> work) {
    work_ = std::move(work);
    ended_ = false;
    resume();
}

void Fiber::resume() {
    entering = this;
#if defined(__SANITIZE_THREAD__)
    caller_thread_ = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(fiber_thread_, 0);
#endif
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&caller_fake_stack_, stack_, kStackBytes);
#endif
    host_device_switch(&caller_, fiber_);
    arrived_in_caller();
}

void Fiber::suspend() {
#if defined(__SANITIZE_THREAD__)
    __tsan_switch_to_fiber(caller_thread_, 0);
#endif
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&fiber_fake_stack_, caller_bottom_, caller_size_);
#endif
    host_device_switch(&fiber_, caller_);
    arrived_in_fiber();
}

void Fiber::arrived_in_fiber() const {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fiber_fake_stack_, &caller_bottom_, &caller_size_);
#endif
}

void Fiber::arrived_in_caller() const {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(caller_fake_stack_, nullptr, nullptr);
#endif
}

void Fiber::enter() { entering->loop(); }

void Fiber::loop() {
    arrived_in_fiber();
    for (;;) {
        work_();
        ended_ = true;
        suspend();
    }
}

}  // namespace host_device
