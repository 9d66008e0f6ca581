#include "backends/mpi/mpi_link.h"

#include <chrono>
#include <mutex>
#include <optional>
#include <string>

#include <unistd.h>

#include "backends/communicator.h"
#include "backends/mpi/mpi_channel.h"
#include "backends/process/news.h"

namespace shardscope::mpi {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// Tags: news of a failure or the end, then one per channel. MPI guarantees at least 32767.
constexpr int kNewsTag = 1, kFirstChannel = 2, kChannels = 32'000;

constexpr auto kNewsTime = 1s, kFarewellTime = 10s;

class MpiLink final : public MessageLink {
public:
    MpiLink(int rank, int size);
    ~MpiLink() override;

    std::string_view name() const override { return "mpi"; }
    Rank rank() const override { return rank_; }
    int size() const override { return static_cast<int>(hosts_.size()); }
    const std::vector<std::string>& hosts() const override { return hosts_; }
    std::unique_ptr<MessageChannel> open(const std::vector<Rank>& members,
                                         std::uint32_t id) override;
    void abort(const Error& why) noexcept override;
    std::optional<Error> failure() override;
    void leave() noexcept override;

private:
    void check();
    // With mutex_ held.
    void read_news();
    bool take(const Error& error) noexcept;  // true when it is news
    void tell(const News& news) noexcept;

    Rank rank_;
    std::vector<std::string> hosts_;
    std::mutex mutex_;  // around every call of MPI, and of all below
    std::optional<Error> failure_;
    Clock::time_point failed_at_;  // when failure_ was set first
    bool rank0_ended_ = false;
};

MpiLink::MpiLink(int rank, int size) {
    int provided = 0;
    expect_success(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided), "MPI_Init");
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    int mpi_rank = 0, mpi_size = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &mpi_rank);
    MPI_Comm_size(MPI_COMM_WORLD, &mpi_size);
    if (mpi_rank != rank || mpi_size != size || provided < MPI_THREAD_SERIALIZED)
        throw Error(
            "processes",
            "the launcher says rank " + std::to_string(rank) + " of " + std::to_string(size) +
                ", MPI says rank " + std::to_string(mpi_rank) + " of " + std::to_string(mpi_size) +
                (provided < MPI_THREAD_SERIALIZED ? " without threads" : ""),
            "start it with the mpirun of the MPI that it was built with", ErrorKind::run_failed);
    rank_ = Rank(mpi_rank);
    char own[MPI_MAX_PROCESSOR_NAME] = "";
    int length = 0;
    MPI_Get_processor_name(own, &length);
    std::vector<char> all(static_cast<std::size_t>(mpi_size) * sizeof own);
    expect_success(
        MPI_Allgather(own, sizeof own, MPI_CHAR, all.data(), sizeof own, MPI_CHAR, MPI_COMM_WORLD),
        "MPI_Allgather");
    for (int r = 0; r < mpi_size; ++r)
        hosts_.emplace_back(all.data() + static_cast<std::size_t>(r) * sizeof own);
}

// After a failure messages are pending that nobody will take, and MPI_Finalize would wait for them: then
// the process ends without it, and mpirun ends the others.
MpiLink::~MpiLink() {
    const std::lock_guard lock(mutex_);
    if (!failure_)
        MPI_Finalize();
    else if (rank_ == Rank(0))
        tell({});
}

std::unique_ptr<MessageChannel> MpiLink::open(const std::vector<Rank>& members, std::uint32_t id) {
    return std::make_unique<MpiChannel>(members, kFirstChannel + static_cast<int>(id) % kChannels,
                                        mutex_, [this] { check(); });
}

void MpiLink::tell(const News& news) noexcept {
    static constexpr int kNaps = 20;  // of 10 ms, for messages that are not taken at once
    std::vector<MPI_Request> requests;
    for (int r = 0; r < size(); ++r)
        if (r != rank_.value)
            MPI_Isend(&news, sizeof news, MPI_BYTE, r, kNewsTag, MPI_COMM_WORLD,
                      &requests.emplace_back());
    int done = 0;
    for (int i = 0; i < kNaps && done == 0; ++i) {
        MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE);
        if (done == 0) usleep(10'000);
    }
}

void MpiLink::read_news() {
    int there = 1;
    while (there != 0) {
        MPI_Status status;
        MPI_Iprobe(MPI_ANY_SOURCE, kNewsTag, MPI_COMM_WORLD, &there, &status);
        if (there == 0) return;
        News news;
        MPI_Recv(&news, sizeof news, MPI_BYTE, status.MPI_SOURCE, kNewsTag, MPI_COMM_WORLD,
                 MPI_STATUS_IGNORE);
        if (news.kind == News::Kind::goodbye)
            rank0_ended_ = true;
        else
            take(news.error());
    }
}

bool MpiLink::take(const Error& error) noexcept {
    if (failure_ && !says_more(error, *failure_)) return false;
    if (!failure_) failed_at_ = Clock::now();
    failure_ = error;
    return true;
}

void MpiLink::check() {
    const std::lock_guard lock(mutex_);
    read_news();
    if (failure_)
        throw Error(std::string(kCommunicationAborted), failure_->message, "",
                    ErrorKind::run_failed);
}

void MpiLink::abort(const Error& why) noexcept {
    const std::lock_guard lock(mutex_);
    if (take(why)) tell(News::of(why));
}

std::optional<Error> MpiLink::failure() {
    while (true) {
        {
            const std::lock_guard lock(mutex_);
            read_news();
            if (!failure_ || is_cause(*failure_) || Clock::now() >= failed_at_ + kNewsTime)
                return failure_;
        }
        usleep(20'000);
    }
}

// Without a failure all meet in MPI_Finalize.
void MpiLink::leave() noexcept {
    if (!failure_) return;
    const auto deadline = Clock::now() + kFarewellTime;
    while (rank_ != Rank(0) && Clock::now() < deadline) {
        const std::lock_guard lock(mutex_);
        read_news();
        if (rank0_ended_) return;
        usleep(20'000);
    }
}

}  // namespace
}  // namespace shardscope::mpi

shardscope::MessageLink* shardscope_make_mpi_link(int rank, int size) {
    return new shardscope::mpi::MpiLink(rank, size);
}
