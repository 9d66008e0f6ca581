// The NCCL communicators of one rank.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <cuda_runtime.h>
#include <nccl.h>

#include "backends/communicator.h"
#include "core/error.h"
#include "core/program/communicators.h"

namespace shardscope::cuda {

struct NcclOptions {
    std::chrono::nanoseconds timeout{std::chrono::seconds(60)};  // for a communicator to be made
    // Most channels, 0: NCCL's choice. Few keep several ranks of one GPU small.
    int channels = 0;
    // Called while it waits for others; throws to give up. May be empty.
    std::function<void()> check;
};

// All of a program's, split from one of all ranks, in the order of CommunicatorPlan. Calls are queued on
// a stream and return before the work is done; one thread makes them. Only async_error() and abort() may
// come from others. Nothing blocks in NCCL (config blocking = 0): a rank that waits for another can always
// be told to stop.
class NcclCommunicators {
public:
    // Every rank of the program must call it at the same time; `everybody` are these ranks, in order: it
    // carries NCCL's id from rank 0. Throws Error{run_failed, "nccl"}, or kCommunicationAborted.
    NcclCommunicators(const Program& program, Rank rank, Communicator& everybody,
                      const NcclOptions& options);
    // Ends the communicators: together with the other ranks, or alone after abort().
    ~NcclCommunicators();
    NcclCommunicators(const NcclCommunicators&) = delete;
    NcclCommunicators& operator=(const NcclCommunicators&) = delete;

    // `program_stream` says which communicator, `stream` where it is queued.
    void collective(const Collective& c, Stream program_stream, const std::byte* send,
                    std::byte* recv, cudaStream_t stream);
    void exchange(const Exchange& x, Stream program_stream, std::span<std::byte* const> addresses,
                  cudaStream_t stream);

    // One small operation on every communicator, so that NCCL takes the memory of its connections now. All
    // ranks must call it at the same time. `memory`: 16 bytes of the device.
    void warm_up(std::byte* memory, cudaStream_t stream);

    // What NCCL has found out by itself since, thread-safe: Error{run_failed, "nccl"}, or
    // kRankLost where all it knows is that another rank has gone.
    std::optional<Error> async_error();

    // Ends pending and later operations of this rank; calls then throw kCommunicationAborted.
    // Thread-safe, idempotent.
    void abort() noexcept;

    int count() const { return static_cast<int>(members_.size()); }

private:
    struct Member {
        std::string name;
        // Where NCCL puts it: a thread of NCCL's may do so after the call that makes it has returned.
        std::unique_ptr<ncclComm_t> place = std::make_unique<ncclComm_t>(nullptr);
        bool transfers = false;  // of a transfer's two ranks
        int index = 0;           // of this rank in it
        ncclComm_t comm() const { return __atomic_load_n(place.get(), __ATOMIC_ACQUIRE); }
    };
    ncclUniqueId agree_on_id(Communicator& everybody) const;
    void make_world(const ncclUniqueId& id, int size);
    void split(const CommunicatorSplit& split);
    void await(const Member& member, ncclResult_t first, const std::string& call);
    void call(const Member& member, const std::string& name,
              const std::function<ncclResult_t()>& issue);
    ncclResult_t issue_transfers(const Exchange& x, Stream program_stream,
                                 std::span<std::byte* const> addresses, cudaStream_t stream);
    Member& member_of(int split);

    const Program& program_;
    const Rank rank_;
    const NcclOptions options_;
    const CommunicatorPlan plan_;
    std::mutex
        mutex_;  // of every call into NCCL, so that none is on a communicator that was aborted
    bool aborted_ = false;
    std::vector<Member> members_;  // the world's first
    std::vector<int> of_split_;    // index into members_; −1: this rank is in none of its sets
};

}  // namespace shardscope::cuda
