#include "backends/process/tcp_link.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <map>
#include <mutex>

#include "backends/communicator.h"
#include "backends/process/control_connections.h"
#include "backends/process/tcp_channel.h"

namespace shardscope {
namespace {

using namespace std::chrono_literals;
using net::Clock;
using net::Hello;
using net::Socket;

constexpr auto kOpenTime = 60s;      // until all members have opened a channel
constexpr auto kNewsTime = 1s;       // from a lost connection to the news of its cause
constexpr auto kFarewellTime = 10s;  // for rank 0 to tell what happened

Error aborted(const std::string& why) {
    return Error(std::string(kCommunicationAborted), why, "", ErrorKind::run_failed);
}

class TcpLink final : public MessageLink {
public:
    explicit TcpLink(const net::MeetingPlace& place) : TcpLink(place.rank, net::meet(place)) {}
    ~TcpLink() override;

    std::string_view name() const override { return "tcp"; }
    Rank rank() const override { return rank_; }
    int size() const override { return static_cast<int>(hosts_.size()); }
    const std::vector<std::string>& hosts() const override { return hosts_; }
    std::unique_ptr<MessageChannel> open(const std::vector<Rank>& members,
                                         std::uint32_t id) override;
    void abort(const Error& why) noexcept override;
    std::optional<Error> failure() override;
    void leave() noexcept override;

private:
    // A channel in use, known to the link so that an abort reaches it.
    class OpenChannel final : public MessageChannel {
    public:
        OpenChannel(TcpLink& link, std::vector<net::TcpChannel::Peer> peers, int rank);
        ~OpenChannel() override;
        void transfer(std::span<const Message> messages) override { channel_.transfer(messages); }
        void shut_down() noexcept { channel_.shut_down(); }

    private:
        TcpLink& link_;
        net::TcpChannel channel_;
    };

    TcpLink(Rank rank, net::Meeting meeting)
        : rank_(rank),
          hosts_(std::move(meeting.hosts)),
          listeners_(std::move(meeting.listeners)),
          listener_(std::move(meeting.listener)),
          control_(std::move(meeting.control), rank == Rank(0)) {}

    Socket call(Rank member, std::uint32_t id);
    Socket await(Rank member, std::uint32_t id, net::Deadline deadline);
    void check();
    void take_news(const Error& error) noexcept;  // with mutex_ held

    Rank rank_;
    std::vector<std::string> hosts_;
    std::vector<net::Address> listeners_;
    Socket listener_;
    // Callers that were accepted before the channel that they call for was opened.
    std::map<std::pair<std::uint32_t, Rank>, Socket> callers_;

    std::mutex mutex_;  // of all below
    net::ControlConnections control_;
    std::vector<OpenChannel*> open_;
    std::optional<Error> failure_;
    Clock::time_point failed_at_;  // when failure_ was set first
};

TcpLink::OpenChannel::OpenChannel(TcpLink& link, std::vector<net::TcpChannel::Peer> peers, int rank)
    : link_(link),
      channel_(std::move(peers), rank,
               {[&link](std::vector<pollfd>& entries) {
                    const std::lock_guard lock(link.mutex_);
                    link.control_.add_to(entries);
                },
                [&link] { link.check(); },
                [&link](Rank lost) {
                    link.check();
                    link.abort(
                        aborted("the connection to rank " + std::to_string(lost.value) + " broke"));
                    link.check();
                }}) {
    const std::lock_guard lock(link_.mutex_);
    link_.open_.push_back(this);
}

TcpLink::OpenChannel::~OpenChannel() {
    const std::lock_guard lock(link_.mutex_);
    std::erase(link_.open_, this);
}

TcpLink::~TcpLink() {
    const std::lock_guard lock(mutex_);
    if (!failure_) control_.say_goodbye();
}

Socket TcpLink::call(Rank member, std::uint32_t id) {
    const auto deadline = Clock::now() + kOpenTime;
    auto socket = net::connect_to(listeners_[member.index()], deadline);
    Hello hello;
    hello.kind = Hello::Kind::channel;
    hello.rank = rank_.value;
    hello.channel = id;
    if (!socket || !net::send_all(*socket, net::bytes_of(hello), deadline)) {
        check();
        throw Error("processes",
                    "rank " + std::to_string(rank_.value) + " cannot reach rank " +
                        std::to_string(member.value) + " at " + listeners_[member.index()].text(),
                    "open the ports between the hosts", ErrorKind::run_failed);
    }
    return std::move(*socket);
}

Socket TcpLink::await(Rank member, std::uint32_t id, net::Deadline deadline) {
    while (true) {
        if (const auto found = callers_.find({id, member}); found != callers_.end()) {
            Socket socket = std::move(found->second);
            callers_.erase(found);
            return socket;
        }
        check();
        auto socket = net::accept_one(listener_, std::min(deadline, Clock::now() + 100ms));
        if (!socket && Clock::now() >= deadline)
            throw Error("processes",
                        "rank " + std::to_string(member.value) + " did not call rank " +
                            std::to_string(rank_.value) + " within a minute",
                        "open the ports between the hosts", ErrorKind::run_failed);
        const auto hello = socket ? net::receive_hello(*socket) : std::nullopt;
        if (hello && hello->kind == Hello::Kind::channel)
            callers_[{hello->channel, Rank(hello->rank)}] = std::move(*socket);
    }
}

// The higher rank calls the lower one.
std::unique_ptr<MessageChannel> TcpLink::open(const std::vector<Rank>& members, std::uint32_t id) {
    std::vector<net::TcpChannel::Peer> peers(members.size());
    int mine = 0;
    for (std::size_t i = 0; i < members.size(); ++i) {
        peers[i].rank = members[i];
        if (members[i] < rank_) peers[i].socket = call(members[i], id);
        if (members[i] != rank_) continue;
        mine = static_cast<int>(i);
        int ends[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
            throw Error("processes", "no socket left", "free some file descriptors",
                        ErrorKind::run_failed);
        peers[i].socket = Socket(ends[0]);
        peers[i].own_end = Socket(ends[1]);
    }
    const auto deadline = Clock::now() + kOpenTime;
    for (auto& peer : peers)
        if (peer.rank > rank_) peer.socket = await(peer.rank, id, deadline);
    return std::make_unique<OpenChannel>(*this, std::move(peers), mine);
}

void TcpLink::take_news(const Error& error) noexcept {
    if (failure_ && !says_more(error, *failure_)) return;
    if (!failure_) failed_at_ = Clock::now();
    failure_ = error;
    for (OpenChannel* channel : open_) channel->shut_down();
    control_.tell(error);
}

void TcpLink::check() {
    const std::lock_guard lock(mutex_);
    if (const auto news = control_.read()) take_news(*news);
    if (failure_) throw aborted(failure_->message);
}

void TcpLink::abort(const Error& why) noexcept {
    const std::lock_guard lock(mutex_);
    take_news(why);
}

std::optional<Error> TcpLink::failure() {
    while (true) {
        {
            const std::lock_guard lock(mutex_);
            if (const auto news = control_.read()) take_news(*news);
            if (!failure_ || is_cause(*failure_) || Clock::now() >= failed_at_ + kNewsTime)
                return failure_;
        }
        poll(nullptr, 0, 20);
    }
}

void TcpLink::leave() noexcept {
    if (rank_ == Rank(0)) return;
    const std::lock_guard lock(mutex_);
    control_.wait_for_end(Clock::now() + kFarewellTime);
}

}  // namespace

std::unique_ptr<MessageLink> make_tcp_link(const net::MeetingPlace& place) {
    return std::make_unique<TcpLink>(place);
}

}  // namespace shardscope
