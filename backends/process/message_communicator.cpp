#include "backends/process/message_communicator.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "backends/rank_sum.h"

namespace shardscope {
namespace {

using Kind = CollectiveCall::Kind;

// Pieces begin at multiples of this many bytes, a cache line.
constexpr std::int64_t kAlignment = 64;

class MessageCommunicator final : public Communicator {
public:
    MessageCommunicator(MessageLink& link, const std::vector<Rank>& members, std::uint32_t id)
        : link_(link),
          size_(static_cast<int>(members.size())),
          rank_(static_cast<int>(std::ranges::find(members, link.rank()) - members.begin())),
          channel_(link.open(members, id)),
          piece_(std::max(kAlignment,
                          kStagingBytes / std::max(1, size_ - 1) / kAlignment * kAlignment)),
          staging_(static_cast<std::size_t>(piece_ * (size_ - 1))),
          sources_(members.size()) {
        messages_.reserve(kMaxMessages);
    }

    int rank() const override { return rank_; }
    int size() const override { return size_; }
    void all_reduce(std::byte* buffer, std::int64_t elements, DType dtype, ReduceOp op) override;
    void reduce_scatter(const std::byte* send, std::byte* recv, std::int64_t shard,
                        DType dtype) override;
    void all_gather(const std::byte* send, std::byte* recv, std::int64_t shard,
                    DType dtype) override;
    void barrier() override;
    void exchange(std::span<const Transfer> transfers) override;
    void abort() noexcept override {
        link_.abort(Error(std::string(kCommunicationAborted),
                          "another rank ended the communication", "", ErrorKind::run_failed));
    }

private:
    // A part of a buffer that belongs to one member, in bytes.
    struct Part {
        std::int64_t begin = 0, end = 0;
    };
    // Parts of an all-reduced buffer; of a gathered or scattered one they are the shards.
    Part part(std::int64_t bytes, int member) const;

    void add(int peer, bool send, const std::byte* address, std::int64_t bytes,
             const CollectiveCall& call) {
        messages_.push_back({peer, send, const_cast<std::byte*>(address), bytes, call});
    }
    void flush() {
        if (!messages_.empty()) channel_->transfer(messages_);
        messages_.clear();
    }
    // Calls visit(to, from) for every pair of peers, so that all members meet different ones at a time.
    template <class Visit>
    void for_peers(Visit visit) {
        for (int i = 1; i < size_; ++i) {
            visit((rank_ + i) % size_, (rank_ + size_ - i) % size_);
            if (messages_.size() + 2 > kMaxMessages) flush();
        }
        flush();
    }
    // Sends send[part of peer] to each peer and reduces what they send of the own part into `recv`.
    template <class PartOf>
    void reduce(const CollectiveCall& call, const std::byte* send, std::byte* recv, PartOf part_of);

    MessageLink& link_;
    int size_, rank_;
    std::unique_ptr<MessageChannel> channel_;
    std::int64_t piece_;
    std::vector<std::byte> staging_;
    std::vector<const std::byte*> sources_;  // kept, so that a call does not allocate
    std::vector<Message> messages_;
};

MessageCommunicator::Part MessageCommunicator::part(std::int64_t bytes, int member) const {
    const std::int64_t each = (bytes / size_ + kAlignment - 1) / kAlignment * kAlignment;
    return {std::min(bytes, each * member),
            member + 1 == size_ ? bytes : std::min(bytes, each * (member + 1))};
}

template <class PartOf>
void MessageCommunicator::reduce(const CollectiveCall& call, const std::byte* send, std::byte* recv,
                                 PartOf part_of) {
    std::int64_t most = 0;
    for (int member = 0; member < size_; ++member)
        most = std::max(most, part_of(member).end - part_of(member).begin);
    // One round at least, so that calls that differ meet each other.
    for (std::int64_t done = 0; done == 0 || done < most; done += piece_) {
        const auto piece_of = [&](int member) {
            const Part whole = part_of(member);
            return Part{std::min(whole.end, whole.begin + done),
                        std::min(whole.end, whole.begin + done + piece_)};
        };
        const Part mine = piece_of(rank_);
        for_peers([&](int to, int from) {
            const Part theirs = piece_of(to);
            add(to, true, send + theirs.begin, theirs.end - theirs.begin, call);
            std::byte* into = staging_.data() + piece_ * (from < rank_ ? from : from - 1);
            add(from, false, into, mine.end - mine.begin, call);
            sources_[static_cast<std::size_t>(from)] = into;
        });
        if (mine.end == mine.begin) continue;
        sources_[static_cast<std::size_t>(rank_)] = send + mine.begin;
        std::byte* target = recv + (mine.begin - part_of(rank_).begin);
        const std::int64_t elements = (mine.end - mine.begin) / size_of(call.dtype);
        if (call.op == ReduceOp::sum)
            sum_in_order(sources_, {&target, 1}, elements, call.dtype);
        else
            maximum_of(sources_, {&target, 1}, elements, call.dtype);
    }
}

void MessageCommunicator::all_reduce(std::byte* buffer, std::int64_t elements, DType dtype,
                                     ReduceOp op) {
    const CollectiveCall call{elements, Kind::all_reduce, dtype, op};
    const std::int64_t bytes = elements * size_of(dtype);
    const Part mine = part(bytes, rank_);
    reduce(call, buffer, buffer + mine.begin, [&](int member) { return part(bytes, member); });
    for_peers([&](int to, int from) {
        const Part theirs = part(bytes, from);
        if (mine.end > mine.begin) add(to, true, buffer + mine.begin, mine.end - mine.begin, call);
        if (theirs.end > theirs.begin)
            add(from, false, buffer + theirs.begin, theirs.end - theirs.begin, call);
    });
}

void MessageCommunicator::reduce_scatter(const std::byte* send, std::byte* recv, std::int64_t shard,
                                         DType dtype) {
    const std::int64_t bytes = shard * size_of(dtype);
    reduce({shard, Kind::reduce_scatter, dtype}, send, recv, [&](int member) {
        return Part{member * bytes, (member + 1) * bytes};
    });
}

void MessageCommunicator::all_gather(const std::byte* send, std::byte* recv, std::int64_t shard,
                                     DType dtype) {
    const CollectiveCall call{shard, Kind::all_gather, dtype};
    const std::int64_t bytes = shard * size_of(dtype);
    std::byte* own = recv + rank_ * bytes;
    if (own != send && bytes > 0) std::memmove(own, send, static_cast<std::size_t>(bytes));
    for_peers([&](int to, int from) {
        add(to, true, own, bytes, call);
        add(from, false, recv + from * bytes, bytes, call);
    });
}

// By dissemination: in round i everybody tells the member 2^i further on (Hensgen, Finkel and Manber,
// "Two algorithms for barrier synchronization", 1988).
void MessageCommunicator::barrier() {
    for (int step = 1; step < size_; step *= 2) {
        add((rank_ + step) % size_, true, nullptr, 0, {});
        add((rank_ + size_ - step) % size_, false, nullptr, 0, {});
        flush();
    }
}

void MessageCommunicator::exchange(std::span<const Transfer> transfers) {
    if (transfers.size() > kMaxTransfers)
        throw Error("unsupported", "an exchange of more than 64 transfers", "split it",
                    ErrorKind::run_failed);
    // Several threads may be here: messages_ belongs to the collectives.
    std::array<Message, kMaxTransfers> messages;
    for (std::size_t i = 0; i < transfers.size(); ++i) {
        const Transfer& t = transfers[i];
        messages[i] = {t.peer, t.send, t.address, t.bytes, {0, Kind::exchange}};
    }
    channel_->transfer({messages.data(), transfers.size()});
}

}  // namespace

std::unique_ptr<Communicator> make_message_communicator(MessageLink& link,
                                                        const std::vector<Rank>& members,
                                                        std::uint32_t id) {
    return std::make_unique<MessageCommunicator>(link, members, id);
}

}  // namespace shardscope
