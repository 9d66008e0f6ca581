#include "backends/mpi/mpi_channel.h"

#include <algorithm>
#include <array>
#include <string>

#include <sched.h>
#include <unistd.h>

namespace shardscope::mpi {
namespace {

constexpr std::int64_t kLongest = std::int64_t{1} << 30;  // MPI counts bytes in an int

// Waiting threads look again and again, as MPI has no way to sleep: first at once, then after ever
// longer naps, because there may be more ranks than cores.
class Patience {
public:
    void wait() {
        constexpr int kLooks = 64;
        constexpr useconds_t kShortest = 10, kLongestNap = 200;
        if (++looks_ < kLooks) {
            sched_yield();
            return;
        }
        usleep(nap_);
        nap_ = std::min(kLongestNap, nap_ + kShortest);
    }
    void reset() { *this = {}; }

private:
    int looks_ = 0;
    useconds_t nap_ = 10;
};

}  // namespace

void expect_success(int code, const char* what) {
    if (code == MPI_SUCCESS) return;
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0;
    MPI_Error_string(code, text, &length);
    throw Error("mpi", std::string(what) + ": " + text, "see what mpirun printed",
                ErrorKind::run_failed);
}

// One message on its way: its header, then its bytes in pieces that MPI can count.
class MpiChannel::Progress {
public:
    Progress() = default;
    Progress(const Message& message, const std::vector<Rank>& members, int own, int tag)
        : message_(&message),
          members_(&members),
          own_(own),
          tag_(tag),
          header_{message.bytes, message.call} {}

    bool finished() const { return finished_; }
    bool shares_order_with(const Progress& o) const {
        return message_->peer == o.message_->peer && message_->send == o.message_->send;
    }

    // As far as it goes without waiting; true when something moved.
    bool advance() {
        bool moved = false;
        while (!finished_) {
            if (request_ == MPI_REQUEST_NULL) post();
            int done = 0;
            MPI_Status status;
            expect_success(MPI_Test(&request_, &done, &status), "MPI_Test");
            if (done == 0) return moved;
            moved = true;
            complete();
        }
        return moved;
    }

private:
    void post() {
        std::byte* at = reinterpret_cast<std::byte*>(&header_);
        posted_ = sizeof header_;
        if (header_done_) {
            at = message_->address + done_;
            posted_ = std::min(kLongest, message_->bytes - done_);
        }
        const int peer = (*members_)[static_cast<std::size_t>(message_->peer)].value;
        const int count = static_cast<int>(posted_);
        if (message_->send)
            expect_success(MPI_Isend(at, count, MPI_BYTE, peer, tag_, MPI_COMM_WORLD, &request_),
                           "MPI_Isend");
        else
            expect_success(MPI_Irecv(at, count, MPI_BYTE, peer, tag_, MPI_COMM_WORLD, &request_),
                           "MPI_Irecv");
    }

    void complete() {
        if (header_done_) {
            done_ += posted_;
        } else {
            header_done_ = true;
            if (!message_->send && header_.call != message_->call)
                throw call_mismatch(message_->peer, header_.call, own_, message_->call);
            if (!message_->send && header_.bytes != message_->bytes)
                throw length_mismatch(message_->peer, own_, header_.bytes, message_->bytes);
        }
        finished_ = done_ == message_->bytes;
    }

    const Message* message_ = nullptr;
    const std::vector<Rank>* members_ = nullptr;
    int own_ = 0, tag_ = 0;
    struct Header {
        std::int64_t bytes = 0;
        CollectiveCall call;
    };
    Header header_;
    bool header_done_ = false, finished_ = false;
    std::int64_t posted_ = 0, done_ = 0;
    MPI_Request request_ = MPI_REQUEST_NULL;
};

void MpiChannel::transfer(std::span<const Message> messages) {
    int world_rank = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &world_rank);
    const auto own =
        static_cast<int>(std::ranges::find(members_, Rank(world_rank)) - members_.begin());
    std::array<Progress, kMaxMessages> all;
    for (std::size_t i = 0; i < messages.size(); ++i) all[i] = {messages[i], members_, own, tag_};
    const std::span open(all.data(), messages.size());
    Patience patience;
    while (true) {
        bool moved = false;
        {
            const std::lock_guard lock(mutex_);
            for (std::size_t i = 0; i < open.size(); ++i) {
                const bool behind =
                    std::ranges::any_of(open.first(i), [&](const Progress& earlier) {
                        return !earlier.finished() && earlier.shares_order_with(open[i]);
                    });
                if (!behind) moved = open[i].advance() || moved;
            }
        }
        if (std::ranges::all_of(open, &Progress::finished)) return;
        if (moved) {
            patience.reset();
            continue;
        }
        check_();
        patience.wait();
    }
}

}  // namespace shardscope::mpi
