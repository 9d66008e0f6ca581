// The made-up machine behind the vendors' functions: devices, their streams as queues of work, and who runs
// the work.
//
// Nothing runs by itself. A thread that waits (for a stream, an event, a device) runs work of its
// current device until what it waits for has happened; when none of it can go on it runs other
// devices' work, since on a real machine they would go on too. Among the streams that could go on one is
// chosen at random, with a bias that changes: for a while some streams are far behind. So what no event orders
// comes in every order, over a number of seeds. At most one piece of work runs on a device at a time.
//
// One lock guards everything; work runs without it.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/host_device/control.h"
#include "tests/host_device/include/cuda_runtime_api.h"

struct ncclComm;

namespace host_device {

struct Communicator;
struct Member;

// A point in the work of a stream: whether it was reached, and when on the device's clock.
struct Mark {
    bool reached = false;
    double milliseconds = 0;
};
using MarkPointer = std::shared_ptr<Mark>;

// One piece of work, once.
struct Task {
    std::function<void()> run;    // without the lock; may throw DeviceError
    std::function<bool()> ready;  // with the lock; whether it may run now, empty: always
    MarkPointer mark;             // reached when it has run
    std::string name;
};
// Makes a task each time the work is issued: again with every launch of a graph. Called with the lock.
using TaskMaker = std::function<Task()>;

// What ends a device's work for good, as a fault in a kernel does.
struct DeviceError : std::runtime_error {
    DeviceError(cudaError_t code_, const std::string& text)
        : std::runtime_error(text), code(code_) {}
    cudaError_t code;
};

struct GraphNode {
    TaskMaker make;
    std::vector<int> after;  // earlier nodes
};

// Work that is recorded rather than run: of the stream it began on and of those that waited for an
// event of it.
struct Capture {
    std::vector<GraphNode> nodes;
    cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
    std::thread::id thread;
    const void* origin = nullptr;  // its Queue
    bool invalidated = false;
};

// What a stream does in one piece: a task, or all of a graph.
struct Work {
    struct Step {
        Task task;
        std::vector<int> after;
        enum class State { waiting, running, done } state = State::waiting;
    };
    std::vector<MarkPointer> after;
    std::vector<Step> steps;
    std::size_t left = 0;  // steps not done
    MarkPointer mark = std::make_shared<Mark>();
};

// A stream.
struct Queue {
    int device = 0;
    bool blocking = true;  // is ordered with the null stream
    std::deque<Work> work;
    MarkPointer last;     // of the work issued last
    unsigned weight = 1;  // in the random choice
    std::shared_ptr<Capture> capture;
    std::vector<int> tails;  // capturing: what the next node comes after
};
using QueuePointer = std::shared_ptr<Queue>;

struct Event {
    MarkPointer mark;  // of the latest recording
    bool timing = true;
    std::shared_ptr<Capture> capture;  // recorded in it
    std::vector<int> tails;
};
using EventPointer = std::shared_ptr<Event>;

struct Device {
    double milliseconds = 0;  // its clock
    std::size_t used = 0;
    bool has_context = false, has_modules = false, busy = false, hung = false;
    cudaError_t error = cudaSuccess;  // for good
    QueuePointer null_stream;
    std::vector<QueuePointer> queues;  // destroyed ones until they are empty
};

struct Allocation {
    std::size_t size = 0, counted = 0;
    int device = -1;  // -1: pinned memory of the host
};

struct Machine {
    explicit Machine(const Settings& settings_);
    ~Machine();

    Settings settings;
    std::mt19937_64 random;
    std::vector<Device> devices;
    std::map<cudaStream_t, QueuePointer> streams;
    std::map<cudaEvent_t, EventPointer> events;
    std::map<const void*, std::vector<GraphNode>> graphs;  // and executable ones
    std::map<const std::byte*, Allocation> allocations;
    std::map<const void*, int> shared_limits;  // of kernels
    std::set<std::shared_ptr<Capture>> captures;
    std::map<ncclComm*, std::shared_ptr<Member>> members;           // of communicators, by handle
    std::map<std::string, std::shared_ptr<Communicator>> meetings;  // by unique id
    std::uintptr_t handles = 0;                                     // given out so far
    std::vector<std::string> problems;
    std::uint64_t executed = 0, changes = 0;
    struct PlannedFailure {
        int left = 0, code = 0, device = -1;
    };
    std::multimap<std::string, PlannedFailure> failures;

    QueuePointer find(cudaStream_t stream);  // null stream: the current device's; unknown: null
    void issue(const QueuePointer& queue, const TaskMaker& make,
               std::vector<MarkPointer> after = {});
    void issue(const QueuePointer& queue, Work work);
    // Null if no allocation holds all of it.
    const Allocation* allocation_of(const void* address, std::size_t size) const;
    void report(const std::string& problem);
    void changed();  // something happened that waiting threads may wait for
    void fail(int device, cudaError_t code, const std::string& problem);
    // The planned failure of this call of `function`, or 0.
    int planned_failure(const std::string& function);
    void touch(Device& device);  // makes its context
};

// The one machine, with its lock.
struct Locked {
    Locked();
    std::unique_lock<std::mutex> lock;
    Machine& machine;
};

// Runs work until done() holds, checked with the lock; an error of the device ends it too.
cudaError_t run_until(Locked& locked, int device, const std::function<bool()>& done);
// Runs at most one piece of work of the device.
void run_some(Locked& locked, int device);

int current_device();
void set_current_device(int device);
void set_last_error(cudaError_t error);
std::condition_variable& machine_changed();

// Every function of the runtime: refuses as the whole machine does, answers a planned failure, else
// calls body(locked). Remembers the error for cudaGetLastError.
cudaError_t call(const char* function, const std::function<cudaError_t(Locked&)>& body);
// The same for functions that a capture does not survive.
cudaError_t call_outside_capture(const char* function,
                                 const std::function<cudaError_t(Locked&)>& body);

}  // namespace host_device
