// What members of an NCCL communicator do together: who has come to which operation, and the movement of
// its data once all have.
//
// Everything is guarded by the machine's lock except move(), which the member that claimed an operation calls
// without it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nccl.h>

#include "tests/host_device/machine.h"

namespace host_device {

enum class OperationKind : std::uint8_t {
    all_reduce,
    reduce_scatter,
    all_gather,
    broadcast,
    send,
    recv,
};

// One rank's part.
struct Operation {
    OperationKind kind = OperationKind::all_reduce;
    const std::byte* send = nullptr;
    std::byte* recv = nullptr;
    std::size_t count = 0;  // as in the call
    ncclDataType_t type = ncclFloat32;
    ncclRedOp_t reduction = ncclSum;
    int peer = 0;  // or root

    std::size_t send_bytes(std::size_t ranks) const;  // 0: reads nothing
    std::size_t recv_bytes(std::size_t ranks) const;
    std::string text() const;  // "all-reduce (sum) of 8 fp32"
};

std::size_t size_of(ncclDataType_t type);  // 0: not one of ours

// A collective of all members, or a transfer between two (0 the sender's part, 1 the receiver's).
struct Encounter {
    std::vector<std::optional<Operation>> parts;
    std::size_t came = 0;
    bool claimed = false, moved = false;
    bool dead = false;  // a member that came has left
    std::string mismatch;

    bool complete() const { return came == parts.size(); }
};
using EncounterPointer = std::shared_ptr<Encounter>;

void move(const Encounter& encounter);

struct Member;

// A communicator as all its members see it.
struct Communicator {
    std::string name;
    std::vector<Member*> members;  // by rank; null before they join and after they leave
    std::vector<int> devices;      // by rank
    std::size_t joined = 0, finalized = 0;
    std::map<std::uint64_t, EncounterPointer> collectives;  // by their number
    struct Channel {
        std::uint64_t sent = 0, received = 0;
        std::map<std::uint64_t, EncounterPointer> open;
    };
    std::map<std::pair<int, int>, Channel> channels;  // by sender and receiver
    // Splits by their number: what each rank said.
    struct SplitPart {
        Member* parent = nullptr;
        int color = 0, key = 0;
        bool blocking = true;
        std::string name;
    };
    std::map<std::uint64_t, std::vector<SplitPart>> splits;

    bool complete() const { return joined == members.size(); }
};

// A rank's end of a communicator: what a handle stands for.
struct Member {
    std::shared_ptr<Communicator> communicator;
    int rank = 0, device = 0;
    bool blocking = true;
    bool aborted = false, finalizing = false;
    ncclResult_t error = ncclSuccess;
    std::uint64_t issued = 0, completed = 0;  // batches
    std::uint64_t collectives = 0, splits = 0;
    std::size_t counted = 0;  // bytes of device memory

    // Non-blocking: what still has to be asked for before it is done.
    int questions = 0;
    std::vector<std::function<void()>> deferred;
    // A split under way: where to put the handle, whether the others have come, and the result (null
    // without a color).
    ncclComm_t* child_handle = nullptr;
    bool split_done = false;
    std::shared_ptr<Member> child;
};
using MemberPointer = std::shared_ptr<Member>;

// The operations that one rank starts together.
class Batch {
public:
    Batch(MemberPointer member, std::vector<Operation> operations);
    // Whether all partners have come; the first call that may says that this rank has.
    bool ready(Machine& machine);
    // Moves what nobody else does, and waits for the rest.
    void run();
    std::string name() const;

private:
    void come(Machine& machine);
    EncounterPointer encounter_of(const Operation& operation, std::size_t& part);
    void leave_broken(Locked& locked);

    MemberPointer member_;
    std::vector<Operation> operations_;
    std::uint64_t ticket_;
    std::vector<EncounterPointer> encounters_;
};

}  // namespace host_device
