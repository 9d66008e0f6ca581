#include "backends/cpu/mailboxes.h"

#include <cstring>
#include <string>

#include "backends/collective_call.h"

namespace shardscope {
Mailboxes::Mailboxes(int size)
    : members_(static_cast<std::size_t>(size)), boxes_(members_.size() * members_.size()) {}

void Mailboxes::exchange(int rank, std::span<const Transfer> transfers) {
    if (transfers.size() > kMaxTransfers)
        throw Error("unsupported", "an exchange of more than 64 transfers", "split it",
                    ErrorKind::run_failed);
    Call call;
    std::unique_lock lock(mutex_);
    if (failure_) throw *failure_;
    post_sends(rank, transfers, call);
    while (call.open != 0 && !failure_)
        if (!receive_one(rank, transfers, call, lock) && call.open != 0 && !failure_)
            member(rank).changed.wait(lock);
    // A failure does not cut short a copy: nobody may free a buffer that another member still reads.
    member(rank).changed.wait(lock, [&] { return call.being_read == 0; });
    if (call.open != 0) throw *failure_;
}

void Mailboxes::post_sends(int rank, std::span<const Transfer> transfers, Call& call) {
    for (std::size_t i = 0; i < transfers.size(); ++i) {
        const std::uint64_t bit = std::uint64_t{1} << i;
        call.open |= bit;
        if (!transfers[i].send) continue;
        box(rank, transfers[i].peer).push_back({&transfers[i], &call, bit});
        member(transfers[i].peer).changed.notify_all();
    }
}

// Completes one of the receives whose sender has come, and says whether there was one.
bool Mailboxes::receive_one(int rank, std::span<const Transfer> transfers, Call& call,
                            std::unique_lock<std::mutex>& lock) {
    for (std::size_t i = 0; i < transfers.size(); ++i) {
        const std::uint64_t bit = std::uint64_t{1} << i;
        const Transfer& t = transfers[i];
        if (t.send || (call.open & bit) == 0 || box(t.peer, rank).empty()) continue;
        receive(rank, t, lock);
        if (!failure_) call.open &= ~bit;
        return true;
    }
    return false;
}

void Mailboxes::receive(int rank, const Transfer& into, std::unique_lock<std::mutex>& lock) {
    std::vector<Post>& posted = box(into.peer, rank);
    const Post post = posted.front();
    if (post.transfer->bytes != into.bytes)
        return fail(length_mismatch(into.peer, rank, post.transfer->bytes, into.bytes));
    posted.erase(posted.begin());
    ++post.call->being_read;
    lock.unlock();
    if (into.bytes > 0 && into.address != post.transfer->address)
        std::memmove(into.address, post.transfer->address, static_cast<std::size_t>(into.bytes));
    lock.lock();
    --post.call->being_read;
    post.call->open &= ~post.bit;
    member(into.peer).changed.notify_all();
}

void Mailboxes::fail(Error error) {
    if (!failure_) failure_ = std::move(error);
    for (Member& m : members_) m.changed.notify_all();
}

void Mailboxes::abort() noexcept {
    const std::lock_guard lock(mutex_);
    fail(Error(std::string(kCommunicationAborted), "another rank ended the communication", "",
               ErrorKind::run_failed));
}

}  // namespace shardscope
