// Messages between the members of one channel, told apart by their tag.
#pragma once

#include <functional>
#include <mutex>
#include <vector>

#include <mpi.h>

#include "backends/process/message_link.h"

namespace shardscope::mpi {

// Throws Error{run_failed, "mpi"} with MPI's own text for a code that is not MPI_SUCCESS.
void expect_success(int code, const char* what);

class MpiChannel final : public MessageChannel {
public:
    // `mutex` is held around every call of MPI (MPI_THREAD_SERIALIZED). `check` is called without it
    // while the channel waits, and throws when the run was aborted.
    MpiChannel(std::vector<Rank> members, int tag, std::mutex& mutex, std::function<void()> check)
        : members_(std::move(members)), tag_(tag), mutex_(mutex), check_(std::move(check)) {}

    void transfer(std::span<const Message> messages) override;

private:
    class Progress;

    std::vector<Rank> members_;
    int tag_;
    std::mutex& mutex_;
    std::function<void()> check_;
};

}  // namespace shardscope::mpi
