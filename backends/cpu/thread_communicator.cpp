#include "backends/cpu/thread_communicator.h"

#include <cstring>

#include "backends/cpu/mailboxes.h"
#include "backends/cpu/rendezvous.h"
#include "backends/rank_sum.h"

namespace shardscope {
namespace {

using Kind = CollectiveCall::Kind;

// Members' parts of a reduced buffer start at multiples of this many elements, so that two members
// hardly ever write the same cache line.
constexpr std::int64_t kChunkAlignment = 16;

// First element of member `rank`'s part of an all-reduce.
std::int64_t chunk_begin(std::int64_t elements, int rank, int size) {
    if (rank == size) return elements;
    const std::int64_t even = elements / size * rank + elements % size * rank / size;
    return even / kChunkAlignment * kChunkAlignment;
}

class ThreadCommunicator final : public Communicator {
public:
    struct Shared {
        explicit Shared(int size) : all(size), mail(size) {}
        Rendezvous all;
        Mailboxes mail;
    };

    ThreadCommunicator(std::shared_ptr<Shared> shared, int rank)
        : shared_(std::move(shared)),
          all_(&shared_->all),
          rank_(rank),
          sources_(static_cast<std::size_t>(all_->size())),
          targets_(static_cast<std::size_t>(all_->size())) {}

    int rank() const override { return rank_; }
    int size() const override { return all_->size(); }

    void all_reduce(std::byte* buffer, std::int64_t elements, DType dtype, ReduceOp op) override;
    void reduce_scatter(const std::byte* send, std::byte* recv, std::int64_t shard,
                        DType dtype) override;
    void all_gather(const std::byte* send, std::byte* recv, std::int64_t shard,
                    DType dtype) override;
    void barrier() override { all_->meet(rank_, {}); }
    void exchange(std::span<const Transfer> transfers) override {
        shared_->mail.exchange(rank_, transfers);
    }
    void abort() noexcept override {
        all_->abort();
        shared_->mail.abort();
    }

private:
    // Points sources_ at every member's send buffer (all_reduce: its buffer) plus `offset`.
    void collect_sources(std::int64_t offset) {
        for (int r = 0; r < size(); ++r) {
            const MemberCall& call = all_->call(r);
            const std::byte* from = call.send != nullptr ? call.send : call.recv;
            sources_[static_cast<std::size_t>(r)] = from + offset;
        }
    }

    std::shared_ptr<Shared> shared_;
    Rendezvous* all_;
    int rank_;
    std::vector<const std::byte*> sources_;  // kept, so that a call does not allocate
    std::vector<std::byte*> targets_;
};

// Each member sums one part for everybody: the work of all is elements · size reads, as in a ring.
void ThreadCommunicator::all_reduce(std::byte* buffer, std::int64_t elements, DType dtype,
                                    ReduceOp op) {
    all_->meet(rank_, {{elements, Kind::all_reduce, dtype, op}, nullptr, buffer});
    const std::int64_t first = chunk_begin(elements, rank_, size());
    const std::int64_t count = chunk_begin(elements, rank_ + 1, size()) - first;
    const std::int64_t offset = first * size_of(dtype);
    if (size() > 1 && count > 0) {
        collect_sources(offset);
        for (int r = 0; r < size(); ++r)
            targets_[static_cast<std::size_t>(r)] = all_->call(r).recv + offset;
        if (op == ReduceOp::sum)
            sum_in_order(sources_, targets_, count, dtype);
        else
            maximum_of(sources_, targets_, count, dtype);
    }
    all_->leave();
}

void ThreadCommunicator::reduce_scatter(const std::byte* send, std::byte* recv, std::int64_t shard,
                                        DType dtype) {
    all_->meet(rank_, {{shard, Kind::reduce_scatter, dtype}, send, recv});
    collect_sources(rank_ * shard * size_of(dtype));
    if (size() > 1 || sources_[0] != recv) sum_in_order(sources_, {&recv, 1}, shard, dtype);
    all_->leave();
}

void ThreadCommunicator::all_gather(const std::byte* send, std::byte* recv, std::int64_t shard,
                                    DType dtype) {
    all_->meet(rank_, {{shard, Kind::all_gather, dtype}, send, recv});
    const std::int64_t bytes = shard * size_of(dtype);
    for (int r = 0; r < size() && bytes > 0; ++r) {
        const std::byte* from = all_->call(r).send;
        std::byte* to = recv + r * bytes;
        if (from != to) std::memcpy(to, from, static_cast<std::size_t>(bytes));
    }
    all_->leave();
}

}  // namespace

std::vector<std::unique_ptr<Communicator>> make_thread_communicators(int size) {
    const auto all = std::make_shared<ThreadCommunicator::Shared>(size);
    std::vector<std::unique_ptr<Communicator>> members;
    members.reserve(static_cast<std::size_t>(size));
    for (int r = 0; r < size; ++r) members.push_back(std::make_unique<ThreadCommunicator>(all, r));
    return members;
}

}  // namespace shardscope
