// What a test decides about the made-up machine, and what it may ask of it.
//
// CUDA's interface is one per process, so the machine behind it is too. Call reset() between tests, while
// no other thread uses the machine.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace host_device {

struct Settings {
    int devices = 8;
    bool driver = true;  // false: what a machine without NVIDIA's driver answers
    int driver_version = 13000;
    int compute_capability = 90;  // 10 · major + minor
    int multiprocessors = 132;
    std::size_t shared_per_block = 227 << 10;  // opt-in limit
    // Memory of a device, all that counts in cudaMemGetInfo: a context takes `context_bytes`, the
    // first kernel `module_bytes`, a communicator `communicator_bytes` per other member. Device
    // memory is memory of this machine: only what is allocated is taken of it.
    std::size_t memory_bytes = std::size_t{16} << 30;
    std::size_t context_bytes = 0;
    std::size_t module_bytes = 0;
    std::size_t communicator_bytes = 0;
    std::size_t granularity = 512;  // allocations are rounded up to it
    // Whether several ranks of a communicator may have one device, which NCCL refuses within a process.
    bool ranks_share_devices = false;
    // Chooses among streams that could go on, the orders of blocks and threads, and which calls of a
    // non-blocking communicator answer ncclInProgress first.
    std::uint64_t seed = 1;
    // For negative controls: streams do not wait for events.
    bool ignores_waits = false;
    // A wait in which nothing happens on any device for so long is reported as a deadlock.
    std::chrono::milliseconds patience{20000};
};

// Forgets everything: streams with their work, allocations, communicators, failures.
void reset(const Settings& settings = {});

// From now on, the n-th call (1: the next) of a function by its name ("cudaMalloc") does nothing and returns
// `code`. On any thread, or only on those whose current device is `device`.
void fail_call(const std::string& function, int n, int code, int device = -1);

// The communicators of this device's rank report `code` as their asynchronous error from now on.
void fail_communicators(int device, int code);
// What the others notice of the end of the process that had this device: ncclRemoteError. Its part in what
// they wait for never comes.
void lose_peer(int device);

// From now on the device does nothing any more, as if a kernel on it never ended.
void hang(int device);

// What went wrong on the devices and CUDA could not have told: divergent barriers, deadlocks,
// mismatched collectives. In order of appearance.
std::vector<std::string> problems();

// What has been made and not yet released.
struct Live {
    std::size_t allocations = 0, host_allocations = 0, streams = 0, events = 0, graphs = 0,
                communicators = 0;
    friend bool operator==(const Live&, const Live&) = default;
};
Live live();

// Pieces of work that have been executed on all devices.
std::uint64_t executed();

}  // namespace host_device
