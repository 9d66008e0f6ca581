#include "backends/cuda/nccl/communicators.h"

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <thread>

#include "backends/process/news.h"
#include "core/error.h"

namespace shardscope::cuda {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kWorldName = "all ranks";

ncclDataType_t nccl_type(DType dtype) {
    switch (dtype) {
        case DType::fp32:
            return ncclFloat32;
        case DType::fp64:
            return ncclFloat64;
        case DType::bf16:
            return ncclBfloat16;
        case DType::int32:
            return ncclInt32;
        case DType::fp16:
        case DType::int8:
            break;  // no kernel computes in them
    }
    throw std::logic_error("no such type");
}

// That another rank has gone is not the cause, which the ranks' link may still tell.
Error error_of(const std::string& what, ncclResult_t result) {
    return {std::string(result == ncclRemoteError ? kRankLost : "nccl"),
            what + ": " + ncclGetErrorString(result), "NCCL_DEBUG=INFO shows what NCCL does",
            ErrorKind::run_failed};
}

[[noreturn]] void fail(const std::string& what, ncclResult_t result) {
    throw error_of(what, result);
}

[[noreturn]] void throw_aborted() {
    throw Error(std::string(kCommunicationAborted), "another rank failed", "",
                ErrorKind::run_failed);
}

// NCCL may keep `name` as long as the communicator lives.
ncclConfig_t config_for(const char* name, const NcclOptions& options) {
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    config.splitShare = 0;  // streams of a rank run at the same time and must not share channels
    config.commName = name;
    if (options.channels > 0) {
        config.minCTAs = 1;
        config.maxCTAs = options.channels;
    }
    return config;
}

}  // namespace

NcclCommunicators::NcclCommunicators(const Program& program, Rank rank, Communicator& everybody,
                                     const NcclOptions& options)
    : program_(program), rank_(rank), options_(options), plan_(plan_communicators(program)) {
    if (everybody.size() == 1) return;
    try {
        make_world(agree_on_id(everybody), everybody.size());
        for (const CommunicatorSplit& s : plan_.splits) split(s);
    } catch (...) {
        abort();
        throw;
    }
}

NcclCommunicators::~NcclCommunicators() {
    // Who leaves by an exception does not wait for the others: they may be waiting for it.
    if (std::uncaught_exceptions() > 0) abort();
    if (aborted_) return;
    const auto deadline = Clock::now() + options_.timeout;
    for (const Member& m : members_) {
        // Collective: all ranks end the same communicator at the same time.
        ncclResult_t state = ncclCommFinalize(m.comm());
        while (state == ncclInProgress && Clock::now() < deadline) {
            if (ncclCommGetAsyncError(m.comm(), &state) != ncclSuccess) break;
            if (state == ncclInProgress) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    }
    // The world's, which the others were split from, goes last.
    for (auto m = members_.rbegin(); m != members_.rend(); ++m) ncclCommDestroy(m->comm());
}

ncclUniqueId NcclCommunicators::agree_on_id(Communicator& everybody) const {
    ncclUniqueId mine{};
    if (rank_ == Rank(0))
        if (const ncclResult_t result = ncclGetUniqueId(&mine); result != ncclSuccess)
            fail("ncclGetUniqueId", result);
    std::vector<ncclUniqueId> all(static_cast<std::size_t>(everybody.size()));
    static_assert(sizeof mine % 4 == 0);
    everybody.all_gather(reinterpret_cast<const std::byte*>(&mine),
                         reinterpret_cast<std::byte*>(all.data()), sizeof mine / 4, DType::int32);
    return all.front();
}

void NcclCommunicators::make_world(const ncclUniqueId& id, int size) {
    Member world;
    world.name = kWorldName;
    world.index = rank_.value;
    ncclConfig_t config = config_for(kWorldName, options_);
    const ncclResult_t result =
        ncclCommInitRankConfig(world.place.get(), size, id, rank_.value, &config);
    if (result != ncclSuccess && result != ncclInProgress) fail("ncclCommInitRankConfig", result);
    members_.push_back(std::move(world));
    await(members_.back(), ncclInProgress, "ncclCommInitRankConfig");
}

void NcclCommunicators::split(const CommunicatorSplit& split) {
    const int set = split.set_of(rank_);
    int key = 0;
    if (set >= 0) {
        const auto& members = split.members[static_cast<std::size_t>(set)];
        while (members[static_cast<std::size_t>(key)] != rank_) ++key;
    }
    const auto is_this = [&](const auto& transfer) {
        return &plan_.splits[static_cast<std::size_t>(transfer.second)] == &split;
    };
    if (set >= 0) {
        Member made;
        made.name = split.name;
        made.transfers = std::ranges::any_of(plan_.transfers, is_this);
        made.index = key;
        members_.push_back(std::move(made));
    }
    ncclComm_t none = nullptr;
    ncclConfig_t config = config_for(split.name.c_str(), options_);
    const std::string call = "ncclCommSplit of " + split.name;
    const ncclResult_t result =
        ncclCommSplit(members_.front().comm(), set < 0 ? NCCL_SPLIT_NOCOLOR : set, key,
                      set < 0 ? &none : members_.back().place.get(), &config);
    await(members_.front(), result, call);
    of_split_.push_back(set < 0 ? -1 : static_cast<int>(members_.size()) - 1);
    if (set >= 0) await(members_.back(), ncclInProgress, call);
}

// `first`: what the call returned. Lets go of the mutex between looks, so that abort() comes through.
void NcclCommunicators::await(const Member& member, ncclResult_t first, const std::string& call) {
    const auto deadline = Clock::now() + options_.timeout;
    ncclResult_t state = first;
    for (int looks = 0; state == ncclInProgress; ++looks) {
        if (looks > 100) {
            std::this_thread::sleep_for(std::chrono::microseconds(100));
            if (options_.check) options_.check();
        }
        if (Clock::now() > deadline) {
            const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(options_.timeout);
            throw Error("nccl", call + " did not end in " + std::to_string(seconds.count()) + " s",
                        "check that all ranks run and reach each other; NCCL_DEBUG=INFO shows what "
                        "NCCL does",
                        ErrorKind::run_failed);
        }
        const std::lock_guard lock(mutex_);
        if (aborted_) throw_aborted();
        if (member.comm() == nullptr) continue;  // NCCL has not made it yet
        const ncclResult_t asked = ncclCommGetAsyncError(member.comm(), &state);
        if (asked != ncclSuccess) fail("ncclCommGetAsyncError", asked);
    }
    if (state != ncclSuccess) fail(call, state);
}

void NcclCommunicators::call(const Member& member, const std::string& name,
                             const std::function<ncclResult_t()>& issue) {
    ncclResult_t result = ncclSuccess;
    {
        const std::lock_guard lock(mutex_);
        if (aborted_) throw_aborted();
        result = issue();
    }
    if (result != ncclSuccess) await(member, result, name + " of " + member.name);
}

NcclCommunicators::Member& NcclCommunicators::member_of(int split) {
    const int index =
        split < 0 || of_split_.empty() ? -1 : of_split_[static_cast<std::size_t>(split)];
    if (index < 0)
        throw Error("nccl", "rank " + std::to_string(rank_.value) + " has no such communicator", "",
                    ErrorKind::run_failed);
    return members_[static_cast<std::size_t>(index)];
}

void NcclCommunicators::collective(const Collective& c, Stream program_stream,
                                   const std::byte* send, std::byte* recv, cudaStream_t stream) {
    const Member& member = member_of(plan_.of_collectives(program_stream, c.group));
    const ncclDataType_t type = nccl_type(c.dtype);
    const auto whole = static_cast<std::size_t>(c.elements);
    const std::size_t part =
        whole / static_cast<std::size_t>(program_.groups[c.group.index()].size);
    call(member, std::string(collective_name(c.kind)), [&] {
        switch (c.kind) {
            case CollectiveKind::all_reduce:
                return ncclAllReduce(recv, recv, whole, type,
                                     c.reduce == ReduceOp::sum ? ncclSum : ncclMax, member.comm(),
                                     stream);
            case CollectiveKind::reduce_scatter:
                return ncclReduceScatter(send, recv, part, type, ncclSum, member.comm(), stream);
            case CollectiveKind::all_gather:
                return ncclAllGather(send, recv, part, type, member.comm(), stream);
            case CollectiveKind::all_to_all:
            case CollectiveKind::dispatch:
            case CollectiveKind::combine:
                throw std::logic_error("what experts' ranks exchange is simulated only");
        }
        return ncclInvalidArgument;
    });
}

void NcclCommunicators::warm_up(std::byte* memory, cudaStream_t stream) {
    for (const Member& m : members_)
        call(m, "warm-up", [&] {
            if (!m.transfers)
                return ncclAllReduce(memory, memory, 1, ncclFloat64, ncclSum, m.comm(), stream);
            return m.index == 0
                       ? ncclSend(memory, 1, ncclFloat64, 1, m.comm(), stream)
                       : ncclRecv(memory + sizeof(double), 1, ncclFloat64, 0, m.comm(), stream);
        });
}

ncclResult_t NcclCommunicators::issue_transfers(const Exchange& x, Stream program_stream,
                                                std::span<std::byte* const> addresses,
                                                cudaStream_t stream) {
    ncclGroupStart();
    ncclResult_t worst = ncclSuccess;
    for (std::size_t i = 0; i < x.transfers.size(); ++i) {
        const auto& t = x.transfers[i];
        const Rank peer = program_.groups[t.group.index()].member(rank_, t.peer);
        const auto lane = transfer_lane(program_stream);
        const Member& member = member_of(t.send ? plan_.of_transfer(rank_, peer, lane)
                                                : plan_.of_transfer(peer, rank_, lane));
        const auto count = static_cast<std::size_t>(t.elements);
        // A communicator of a transfer has the sender as rank 0.
        const ncclResult_t result =
            t.send ? ncclSend(addresses[i], count, nccl_type(t.dtype), 1, member.comm(), stream)
                   : ncclRecv(addresses[i], count, nccl_type(t.dtype), 0, member.comm(), stream);
        if (result != ncclSuccess && result != ncclInProgress) worst = result;
    }
    const ncclResult_t result = ncclGroupEnd();
    return worst != ncclSuccess ? worst : result;
}

void NcclCommunicators::exchange(const Exchange& x, Stream program_stream,
                                 std::span<std::byte* const> addresses, cudaStream_t stream) {
    if (x.transfers.empty()) return;
    ncclResult_t result = ncclSuccess;
    {
        const std::lock_guard lock(mutex_);
        if (aborted_) throw_aborted();
        result = issue_transfers(x, program_stream, addresses, stream);
    }
    if (result == ncclSuccess) return;
    if (result != ncclInProgress) fail("exchange", result);
    for (const auto& t : x.transfers) {
        const Rank peer = program_.groups[t.group.index()].member(rank_, t.peer);
        const auto lane = transfer_lane(program_stream);
        await(member_of(t.send ? plan_.of_transfer(rank_, peer, lane)
                               : plan_.of_transfer(peer, rank_, lane)),
              result, "exchange");
    }
}

std::optional<Error> NcclCommunicators::async_error() {
    const std::lock_guard lock(mutex_);
    if (aborted_) return std::nullopt;
    for (const Member& m : members_) {
        ncclResult_t state = ncclSuccess;
        if (ncclCommGetAsyncError(m.comm(), &state) != ncclSuccess) continue;
        if (state != ncclSuccess && state != ncclInProgress) return error_of(m.name, state);
    }
    return std::nullopt;
}

void NcclCommunicators::abort() noexcept {
    const std::lock_guard lock(mutex_);
    if (aborted_) return;
    aborted_ = true;
    for (auto m = members_.rbegin(); m != members_.rend(); ++m)
        if (m->comm() != nullptr) ncclCommAbort(m->comm());
}

}  // namespace shardscope::cuda
