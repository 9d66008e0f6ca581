#include "tests/host_device/machine.h"

#include <algorithm>
#include <cstdlib>

#include <fmt/core.h>

#include "tests/host_device/block.h"

namespace host_device {

namespace {

// What one clock tick of a device's made-up time is: each piece of work takes as long.
constexpr double kWorkMilliseconds = 0.01;

struct World {
    std::mutex mutex;
    std::condition_variable changed;
    std::unique_ptr<Machine> machine = std::make_unique<Machine>(Settings{});
};

World& world() {
    static World one;
    return one;
}

thread_local int device_of_thread = 0;
thread_local cudaError_t last_error = cudaSuccess;
thread_local bool in_host_function = false;

struct Choice {
    QueuePointer queue;
    std::size_t step = 0;
};

bool reached(const MarkPointer& mark) { return mark->reached; }

bool step_ready(const Work& work, const Work::Step& step) {
    if (step.state != Work::Step::State::waiting) return false;
    for (int i : step.after) {
        if (work.steps[static_cast<std::size_t>(i)].state != Work::Step::State::done) return false;
    }
    return !step.task.ready || step.task.ready();
}

// Asks every step, chosen or not: a collective learns here that this rank has come to it.
std::vector<Choice> choices(const Device& device) {
    std::vector<Choice> found;
    for (const QueuePointer& queue : device.queues) {
        if (queue->work.empty()) continue;
        const Work& work = queue->work.front();
        if (!std::all_of(work.after.begin(), work.after.end(), reached)) continue;
        for (std::size_t i = 0; i < work.steps.size(); ++i) {
            if (step_ready(work, work.steps[i])) found.push_back({queue, i});
        }
    }
    return found;
}

const Choice& choose(Machine& machine, const std::vector<Choice>& among) {
    unsigned total = 0;
    for (const Choice& choice : among) {
        unsigned& weight = choice.queue->weight;
        if (machine.random() % 16 == 0) weight = 1u << (4 * (machine.random() % 3));
        total += weight;
    }
    std::uint64_t pick = machine.random() % total;
    for (const Choice& choice : among) {
        if (pick < choice.queue->weight) return choice;
        pick -= choice.queue->weight;
    }
    return among.back();
}

void finish_work(Machine& machine, Device& device, Queue& queue) {
    Work& work = queue.work.front();
    work.mark->milliseconds = device.milliseconds;
    work.mark->reached = true;
    queue.work.pop_front();
    std::erase_if(device.queues, [&](const QueuePointer& q) {
        if (!q->work.empty() || q == device.null_stream) return false;
        return std::none_of(machine.streams.begin(), machine.streams.end(),
                            [&](const auto& s) { return s.second == q; });
    });
}

// Without the lock while the task runs; the deque keeps a front element's place.
void run_step(Locked& locked, std::size_t device_index, const Choice& choice) {
    Machine& machine = locked.machine;
    Device& device = machine.devices[device_index];
    const QueuePointer queue = choice.queue;
    Work& work = queue->work.front();
    Work::Step& step = work.steps[choice.step];
    step.state = Work::Step::State::running;
    device.busy = true;
    std::string problem;
    cudaError_t code = cudaSuccess;
    locked.lock.unlock();
    try {
        if (step.task.run) step.task.run();
    } catch (const DeviceError& error) {
        problem = error.what();
        code = error.code;
    } catch (const KernelError& error) {
        problem = error.what();
        code = cudaErrorLaunchFailure;
    }
    locked.lock.lock();
    device.busy = false;
    device.milliseconds += kWorkMilliseconds;
    ++machine.executed;
    if (code != cudaSuccess) {
        machine.fail(static_cast<int>(device_index), code, problem);
    } else {
        step.state = Work::Step::State::done;
        if (step.task.mark) {
            step.task.mark->milliseconds = device.milliseconds;
            step.task.mark->reached = true;
        }
        if (--work.left == 0) finish_work(machine, device, *queue);
    }
    machine.changed();
}

bool run_one(Locked& locked, std::size_t index) {
    Device& device = locked.machine.devices[index];
    if (device.busy || device.hung) return false;
    const std::vector<Choice> among = choices(device);
    if (among.empty()) return false;
    run_step(locked, index, choose(locked.machine, among));
    return true;
}

bool run_one_elsewhere(Locked& locked, std::size_t index) {
    for (std::size_t i = 0; i < locked.machine.devices.size(); ++i) {
        if (i != index && run_one(locked, i)) return true;
    }
    return false;
}

std::string describe_stuck(const Machine& machine) {
    std::string text = "deadlock: no work on any device can go on;";
    for (std::size_t i = 0; i < machine.devices.size(); ++i) {
        for (const QueuePointer& queue : machine.devices[i].queues) {
            if (queue->work.empty()) continue;
            const Work& work = queue->work.front();
            std::string what = "an event";
            for (const Work::Step& step : work.steps) {
                if (step.task.ready && step.state == Work::Step::State::waiting) {
                    what = step.task.name;
                    break;
                }
            }
            text += fmt::format(" device {} waits for {};", i, what);
        }
    }
    text.pop_back();
    return text;
}

cudaError_t refusal(const Machine& machine) {
    if (!machine.settings.driver) return cudaErrorInsufficientDriver;
    if (machine.settings.devices == 0) return cudaErrorNoDevice;
    return in_host_function ? cudaErrorNotPermitted : cudaSuccess;
}

// Captures that forbid this thread a call that may wait: its own, and everybody's in the global mode.
bool breaks_capture(Machine& machine) {
    bool breaks = false;
    for (const auto& capture : machine.captures) {
        const bool own = capture->thread == std::this_thread::get_id();
        if (capture->mode == cudaStreamCaptureModeRelaxed) continue;
        if (!own && capture->mode == cudaStreamCaptureModeThreadLocal) continue;
        capture->invalidated = true;
        breaks = true;
    }
    return breaks;
}

}  // namespace

Machine::Machine(const Settings& settings_)
    : settings(settings_),
      random(settings_.seed),
      devices(static_cast<std::size_t>(settings_.devices)) {
    for (std::size_t i = 0; i < devices.size(); ++i) {
        devices[i].null_stream = std::make_shared<Queue>();
        devices[i].null_stream->device = static_cast<int>(i);
        devices[i].queues.push_back(devices[i].null_stream);
    }
}

Machine::~Machine() {
    for (const auto& [address, allocation] : allocations) {
        std::free(const_cast<std::byte*>(address));
    }
}

QueuePointer Machine::find(cudaStream_t stream) {
    if (stream == nullptr) {
        return devices[static_cast<std::size_t>(current_device())].null_stream;
    }
    const auto found = streams.find(stream);
    return found == streams.end() ? nullptr : found->second;
}

void Machine::issue(const QueuePointer& queue, const TaskMaker& make,
                    std::vector<MarkPointer> after) {
    if (queue->capture) {
        queue->capture->nodes.push_back({make, queue->tails});
        queue->tails = {static_cast<int>(queue->capture->nodes.size()) - 1};
        return;
    }
    Work work;
    work.after = std::move(after);
    work.steps.push_back({make(), {}});
    issue(queue, std::move(work));
}

void Machine::issue(const QueuePointer& queue, Work work) {
    Device& device = devices[static_cast<std::size_t>(queue->device)];
    touch(device);
    const auto follow = [&](const QueuePointer& other) {
        if (other != queue && other->last && !other->last->reached)
            work.after.push_back(other->last);
    };
    if (queue == device.null_stream) {
        for (const QueuePointer& other : device.queues) {
            if (other->blocking) follow(other);
        }
    } else if (queue->blocking) {
        follow(device.null_stream);
    }
    work.left = work.steps.size();
    queue->last = work.mark;
    queue->work.push_back(std::move(work));
    changed();
}

const Allocation* Machine::allocation_of(const void* address, std::size_t size) const {
    const auto* begin = static_cast<const std::byte*>(address);
    auto found = allocations.upper_bound(begin);
    if (found == allocations.begin()) return nullptr;
    --found;
    const auto offset = static_cast<std::size_t>(begin - found->first);
    return offset + size <= found->second.size ? &found->second : nullptr;
}

void Machine::report(const std::string& problem) { problems.push_back(problem); }

void Machine::changed() {
    ++changes;
    world().changed.notify_all();
}

void Machine::fail(int index, cudaError_t code, const std::string& problem) {
    report(problem);
    Device& device = devices[static_cast<std::size_t>(index)];
    device.error = code;
    for (const QueuePointer& queue : device.queues) {
        for (Work& work : queue->work) {
            work.mark->reached = true;
            for (Work::Step& step : work.steps) {
                if (step.task.mark) step.task.mark->reached = true;
            }
        }
        queue->work.clear();
    }
    changed();
}

int Machine::planned_failure(const std::string& function) {
    const auto [begin, end] = failures.equal_range(function);
    for (auto it = begin; it != end; ++it) {
        PlannedFailure& planned = it->second;
        if (planned.device >= 0 && planned.device != current_device()) continue;
        if (--planned.left > 0) continue;
        const int code = planned.code;
        failures.erase(it);
        return code;
    }
    return 0;
}

void Machine::touch(Device& device) {
    if (device.has_context) return;
    device.has_context = true;
    device.used += settings.context_bytes;
}

Locked::Locked() : lock(world().mutex), machine(*world().machine) {}

cudaError_t run_until(Locked& locked, int device, const std::function<bool()>& done) {
    Machine& machine = locked.machine;
    const auto index = static_cast<std::size_t>(device);
    while (machine.devices[index].error == cudaSuccess && !done()) {
        if (run_one(locked, index) || run_one_elsewhere(locked, index)) continue;
        const std::uint64_t before = machine.changes;
        const bool moved = world().changed.wait_for(locked.lock, machine.settings.patience,
                                                    [&] { return machine.changes != before; });
        const bool somebody_runs = std::any_of(machine.devices.begin(), machine.devices.end(),
                                               [](const Device& d) { return d.busy; });
        if (moved || somebody_runs) continue;
        machine.fail(device, cudaErrorLaunchTimeout, describe_stuck(machine));
    }
    return machine.devices[index].error;
}

void run_some(Locked& locked, int device) {
    const auto index = static_cast<std::size_t>(device);
    if (!run_one(locked, index)) run_one_elsewhere(locked, index);
}

int current_device() { return device_of_thread; }
void set_current_device(int device) { device_of_thread = device; }
void set_last_error(cudaError_t error) { last_error = error; }
std::condition_variable& machine_changed() { return world().changed; }

cudaError_t call(const char* function, const std::function<cudaError_t(Locked&)>& body) {
    Locked locked;
    Machine& machine = locked.machine;
    cudaError_t error = refusal(machine);
    if (error == cudaSuccess) error = static_cast<cudaError_t>(machine.planned_failure(function));
    if (error == cudaSuccess && current_device() >= machine.settings.devices) {
        error = cudaErrorInvalidDevice;
    }
    if (error == cudaSuccess) {
        error = machine.devices[static_cast<std::size_t>(current_device())].error;
    }
    if (error == cudaSuccess) error = body(locked);
    if (error != cudaSuccess) last_error = error;  // "not ready" too, as on GPUs
    return error;
}

cudaError_t call_outside_capture(const char* function,
                                 const std::function<cudaError_t(Locked&)>& body) {
    return call(function, [&](Locked& locked) {
        return breaks_capture(locked.machine) ? cudaErrorStreamCaptureUnsupported : body(locked);
    });
}

// control.h

void reset(const Settings& settings) {
    const std::lock_guard lock(world().mutex);
    world().machine = std::make_unique<Machine>(settings);
    device_of_thread = 0;
    last_error = cudaSuccess;
}

void fail_call(const std::string& function, int n, int code, int device) {
    Locked locked;
    locked.machine.failures.insert({function, {n, code, device}});
}

void hang(int device) {
    Locked locked;
    locked.machine.devices.at(static_cast<std::size_t>(device)).hung = true;
}

std::vector<std::string> problems() { return Locked().machine.problems; }
std::uint64_t executed() { return Locked().machine.executed; }

Live live() {
    Locked locked;
    const Machine& machine = locked.machine;
    Live live;
    for (const auto& [address, allocation] : machine.allocations) {
        ++(allocation.device < 0 ? live.host_allocations : live.allocations);
    }
    live.streams = machine.streams.size();
    live.events = machine.events.size();
    live.graphs = machine.graphs.size();
    live.communicators = machine.members.size();
    return live;
}

}  // namespace host_device

cudaError_t cudaGetLastError() {
    const cudaError_t error = host_device::last_error;
    host_device::last_error = cudaSuccess;
    return error;
}
cudaError_t cudaPeekAtLastError() { return host_device::last_error; }

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* data) {
    using namespace host_device;
    return call("cudaLaunchHostFunc", [&](Locked& locked) {
        const QueuePointer queue = locked.machine.find(stream);
        if (!queue) return cudaErrorInvalidResourceHandle;
        locked.machine.issue(queue, [function, data] {
            const auto run = [function, data] {
                in_host_function = true;
                function(data);
                in_host_function = false;
            };
            return Task{run, {}, {}, "a host function"};
        });
        return cudaSuccess;
    });
}
