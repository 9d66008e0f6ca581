#include "tests/host_device/communicator.h"

#include <algorithm>
#include <cstring>

#include <fmt/core.h>

#include "core/bf16.h"

namespace host_device {

namespace {

using shardscope::Bf16;

template <class T>
T reduced(T a, T b, ncclRedOp_t op) {
    switch (op) {
        case ncclProd:
            return static_cast<T>(a * b);
        case ncclMax:
            return a < b ? b : a;
        case ncclMin:
            return b < a ? b : a;
        default:
            return static_cast<T>(a + b);
    }
}

// In the order of ranks, each step rounded to the type, as it is on its way around a ring.
template <class T>
void reduce_as(std::vector<std::byte>& into, const std::byte* from, ncclRedOp_t op) {
    for (std::size_t at = 0; at < into.size(); at += sizeof(T)) {
        T a, b;
        std::memcpy(&a, &into[at], sizeof a);
        std::memcpy(&b, from + at, sizeof b);
        const T result = reduced<T>(a, b, op);
        std::memcpy(&into[at], &result, sizeof result);
    }
}

template <class F>
void with_type(ncclDataType_t type, F f) {
    switch (type) {
        case ncclInt8:
            return f(std::int8_t{});
        case ncclUint8:
            return f(std::uint8_t{});
        case ncclInt32:
            return f(std::int32_t{});
        case ncclUint32:
            return f(std::uint32_t{});
        case ncclInt64:
            return f(std::int64_t{});
        case ncclUint64:
            return f(std::uint64_t{});
        case ncclFloat32:
            return f(float{});
        case ncclFloat64:
            return f(double{});
        case ncclBfloat16:
            return f(Bf16(0.0f));
    }
}

std::vector<std::byte> reduction_of(const Encounter& e, std::size_t bytes) {
    const Operation& first = *e.parts[0];
    std::vector<std::byte> result(first.send, first.send + bytes);
    with_type(first.type, [&](auto zero) {
        using T = decltype(zero);
        for (std::size_t r = 1; r < e.parts.size(); ++r) {
            reduce_as<T>(result, e.parts[r]->send, first.reduction);
        }
    });
    return result;
}

void put(std::byte* to, const std::byte* from, std::size_t bytes) {
    if (bytes > 0) std::memcpy(to, from, bytes);
}

const char* name_of(OperationKind kind) {
    switch (kind) {
        case OperationKind::all_reduce:
            return "all-reduce";
        case OperationKind::reduce_scatter:
            return "reduce-scatter";
        case OperationKind::all_gather:
            return "all-gather";
        case OperationKind::broadcast:
            return "broadcast";
        case OperationKind::send:
            return "send";
        case OperationKind::recv:
            return "receive";
    }
    return "?";
}

const char* name_of(ncclDataType_t type) {
    switch (type) {
        case ncclInt8:
            return "int8";
        case ncclUint8:
            return "uint8";
        case ncclInt32:
            return "int32";
        case ncclUint32:
            return "uint32";
        case ncclInt64:
            return "int64";
        case ncclUint64:
            return "uint64";
        case ncclFloat32:
            return "fp32";
        case ncclFloat64:
            return "fp64";
        case ncclBfloat16:
            return "bf16";
    }
    return "?";
}

bool is_transfer(OperationKind kind) {
    return kind == OperationKind::send || kind == OperationKind::recv;
}

// Whether two ranks mean the same operation.
bool agree(const Operation& a, const Operation& b) {
    const bool kinds = is_transfer(a.kind) || a.kind == b.kind;
    return kinds && a.count == b.count && a.type == b.type && a.reduction == b.reduction &&
           (is_transfer(a.kind) || a.peer == b.peer);
}

}  // namespace

std::size_t size_of(ncclDataType_t type) {
    std::size_t size = 0;
    with_type(type, [&](auto zero) { size = sizeof zero; });
    return size;
}

std::size_t Operation::send_bytes(std::size_t ranks) const {
    const std::size_t bytes = count * size_of(type);
    if (kind == OperationKind::recv) return 0;
    return kind == OperationKind::reduce_scatter ? bytes * ranks : bytes;
}

std::size_t Operation::recv_bytes(std::size_t ranks) const {
    const std::size_t bytes = count * size_of(type);
    if (kind == OperationKind::send) return 0;
    return kind == OperationKind::all_gather ? bytes * ranks : bytes;
}

std::string Operation::text() const {
    std::string text = name_of(kind);
    if (kind == OperationKind::all_reduce || kind == OperationKind::reduce_scatter) {
        static constexpr const char* kReductions[] = {"sum", "product", "max", "min"};
        text += fmt::format(" ({})", kReductions[reduction]);
    }
    if (kind == OperationKind::send) text += fmt::format(" to {}", peer);
    if (kind == OperationKind::recv) text += fmt::format(" from {}", peer);
    return text + fmt::format(" of {} {}", count, name_of(type));
}

void move(const Encounter& e) {
    const std::size_t ranks = e.parts.size();
    const Operation& first = *e.parts[0];
    const std::size_t bytes = first.count * size_of(first.type);
    switch (first.kind) {
        case OperationKind::all_reduce: {
            const auto result = reduction_of(e, bytes);
            for (const auto& part : e.parts) put(part->recv, result.data(), bytes);
            break;
        }
        case OperationKind::reduce_scatter: {
            const auto result = reduction_of(e, bytes * ranks);
            for (std::size_t r = 0; r < ranks; ++r) {
                put(e.parts[r]->recv, result.data() + r * bytes, bytes);
            }
            break;
        }
        case OperationKind::all_gather: {
            std::vector<std::byte> result(bytes * ranks);
            for (std::size_t r = 0; r < ranks; ++r) {
                put(result.data() + r * bytes, e.parts[r]->send, bytes);
            }
            for (const auto& part : e.parts) put(part->recv, result.data(), bytes * ranks);
            break;
        }
        case OperationKind::broadcast: {
            const Operation& root = *e.parts[static_cast<std::size_t>(first.peer)];
            const std::vector<std::byte> result(root.send, root.send + bytes);
            for (const auto& part : e.parts) put(part->recv, result.data(), bytes);
            break;
        }
        case OperationKind::send:
        case OperationKind::recv:
            put(e.parts[1]->recv, e.parts[0]->send, bytes);
            break;
    }
}

Batch::Batch(MemberPointer member, std::vector<Operation> operations)
    : member_(std::move(member)), operations_(std::move(operations)), ticket_(member_->issued++) {}

std::string Batch::name() const {
    std::string text =
        fmt::format("communicator {}, rank {}:", member_->communicator->name, member_->rank);
    for (const Operation& operation : operations_) text += " " + operation.text() + ",";
    text.pop_back();
    return text;
}

bool Batch::ready(Machine& machine) {
    if (member_->aborted) return true;
    if (ticket_ != member_->completed) return false;
    if (encounters_.empty()) come(machine);
    return std::all_of(encounters_.begin(), encounters_.end(), [](const EncounterPointer& e) {
        return !e->mismatch.empty() || (e->complete() && !e->dead);
    });
}

void Batch::come(Machine& machine) {
    for (const Operation& operation : operations_) {
        std::size_t part = 0;
        const EncounterPointer e = encounter_of(operation, part);
        for (std::size_t r = 0; r < e->parts.size(); ++r) {
            if (!e->parts[r] || agree(*e->parts[r], operation)) continue;
            e->mismatch = fmt::format("communicator {}: {} meets {}", member_->communicator->name,
                                      e->parts[r]->text(), operation.text());
        }
        e->parts[part] = operation;
        ++e->came;
        encounters_.push_back(e);
    }
    machine.changed();
}

// Once everybody has come to an encounter the communicator forgets it.
EncounterPointer Batch::encounter_of(const Operation& operation, std::size_t& part) {
    Communicator& of = *member_->communicator;
    const auto meet = [](auto& open, std::uint64_t number, std::size_t parts) {
        EncounterPointer& e = open[number];
        if (!e) {
            e = std::make_shared<Encounter>();
            e->parts.resize(parts);
        }
        const EncounterPointer found = e;
        if (found->came + 1 == parts) open.erase(number);
        return found;
    };
    if (!is_transfer(operation.kind)) {
        part = static_cast<std::size_t>(member_->rank);
        return meet(of.collectives, member_->collectives++, of.members.size());
    }
    const bool sends = operation.kind == OperationKind::send;
    part = sends ? 0 : 1;
    auto& channel = of.channels[sends ? std::pair(member_->rank, operation.peer)
                                      : std::pair(operation.peer, member_->rank)];
    return meet(channel.open, sends ? channel.sent++ : channel.received++, 2);
}

void Batch::run() {
    std::vector<EncounterPointer> mine;
    {
        Locked locked;
        if (member_->aborted) return leave_broken(locked);
        for (const EncounterPointer& e : encounters_) {
            if (!e->mismatch.empty()) throw DeviceError(cudaErrorLaunchFailure, e->mismatch);
            if (!e->claimed) mine.push_back(e);
            e->claimed = true;
        }
    }
    for (const EncounterPointer& e : mine) move(*e);
    Locked locked;
    for (const EncounterPointer& e : mine) e->moved = true;
    locked.machine.changed();
    for (const EncounterPointer& e : encounters_) {
        machine_changed().wait(locked.lock, [&] { return e->moved; });
    }
    ++member_->completed;
    locked.machine.changed();
}

// After an abort: partners can no longer count on this rank's memory, and what was to arrive did not.
void Batch::leave_broken(Locked& locked) {
    for (const EncounterPointer& e : encounters_) {
        if (e->claimed) machine_changed().wait(locked.lock, [&] { return e->moved; });
        if (!e->moved) e->dead = true;
    }
    const std::size_t ranks = member_->communicator->members.size();
    for (const Operation& operation : operations_) {
        const std::size_t bytes = operation.recv_bytes(ranks);
        if (bytes > 0) std::memset(operation.recv, 0xFF, bytes);
    }
    ++member_->completed;
    locked.machine.changed();
}

}  // namespace host_device
