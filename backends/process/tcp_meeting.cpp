#include "backends/process/tcp_meeting.h"

#include <algorithm>
#include <cstring>
#include <thread>

#include "backends/process/fixed_text.h"
#include "backends/process/meeting_file.h"
#include "core/error.h"

namespace shardscope::net {
namespace {

using namespace std::chrono_literals;

constexpr auto kHelloTime = 5s;  // a caller that says nothing for so long is none of ours
// By a file: how long an address may take to answer, how long rank 0 may be busy with other callers, and
// how often the file is read.
constexpr auto kConnectTime = 500ms;
constexpr auto kWelcomeTime = 15s;
constexpr auto kPollTime = 50ms;

[[noreturn]] void fail_to_meet(const std::string& message, const std::string& fix) {
    throw Error("processes", message, fix, ErrorKind::run_failed);
}

// What rank 0 answers first, so that a caller knows it from a stranger at its port.
struct Welcome {
    std::uint64_t magic = Hello{}.magic;
    std::uint64_t key = 0;
};

// What rank 0 answers to a Hello then: where one rank listens, or why the caller may not take part.
struct Seat {
    Address address;
    char host[64] = {};
    char refusal[256] = {};
};

std::string list_of(const std::vector<int>& ranks) {
    std::string text = ranks.size() == 1 ? "rank " : "ranks ";
    for (std::size_t i = 0; i < ranks.size(); ++i)
        text += (i == 0 ? "" : i + 1 == ranks.size() ? " and " : ", ") + std::to_string(ranks[i]);
    return text;
}

class Host {
public:
    explicit Host(const MeetingPlace& place)
        : place_(place),
          deadline_(Clock::now() + place.patience),
          seats_(static_cast<std::size_t>(place.size)),
          control_(seats_.size()) {}

    Meeting run();

private:
    Socket listen();
    void admit(Socket socket);
    std::string refusal(const Hello& hello) const;
    std::vector<int> missing() const;

    const MeetingPlace& place_;
    Deadline deadline_;
    Address address_;
    MeetingFile file_;  // key 0: there is none
    std::vector<Seat> seats_;
    std::vector<Socket> control_;
};

// A name that other hosts resolve to this machine need not be an address of its own (a Kubernetes service
// is none), and many machines take their own name for a loopback address: then rank 0 listens on all.
Socket listen_as_master(const std::string& host, const Address& address) {
    if (address.is_loopback() && host != "localhost" && host != address.host())
        return listen_at(address, true);
    if (auto probe = Socket(::socket(address.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0))) {
        Address any_port = address;
        any_port.set_port(0);
        if (bind(probe.fd(), reinterpret_cast<const sockaddr*>(&any_port.storage),
                 any_port.length) != 0)
            return listen_at(address, true);
    }
    return listen_at(address, false);
}

std::string Host::refusal(const Hello& hello) const {
    const std::string who = "rank " + std::to_string(hello.rank);
    if (text_of(hello.version) != place_.version)
        return who + " is Shardscope " + text_of(hello.version) + ", rank 0 is " + place_.version;
    if (hello.size != place_.size)
        return who + " expects " + std::to_string(hello.size) + " processes, rank 0 " +
               std::to_string(place_.size);
    if (hello.rank < 1 || hello.rank >= place_.size)
        return who + " is not one of 1 to " + std::to_string(place_.size - 1);
    if (control_[static_cast<std::size_t>(hello.rank)]) return "two processes are " + who;
    return "";
}

void Host::admit(Socket socket) {
    const auto hello = receive_hello(socket);
    if (!hello || hello->kind != Hello::Kind::join || hello->key != file_.key) return;
    Welcome welcome;
    welcome.key = file_.key;
    if (!send_all(socket, bytes_of(welcome), Clock::now() + kHelloTime)) return;
    if (const std::string why = refusal(*hello); !why.empty()) {
        Seat seat;
        copy_text(seat.refusal, why);
        send_all(socket, bytes_of(seat), Clock::now() + kHelloTime);
        fail_to_meet(why, "start every process of a run in the same way");
    }
    Seat& seat = seats_[static_cast<std::size_t>(hello->rank)];
    seat.address.length = sizeof seat.address.storage;
    getpeername(socket.fd(), reinterpret_cast<sockaddr*>(&seat.address.storage),
                &seat.address.length);
    seat.address.set_port(hello->port);
    std::memcpy(seat.host, hello->host, sizeof seat.host);
    control_[static_cast<std::size_t>(hello->rank)] = std::move(socket);
}

std::vector<int> Host::missing() const {
    std::vector<int> ranks;
    for (std::size_t r = 1; r < control_.size(); ++r)
        if (!control_[r]) ranks.push_back(static_cast<int>(r));
    return ranks;
}

Socket Host::listen() {
    if (place_.file.empty()) {
        address_ = resolve(place_.master_host, place_.master_port);
        return listen_as_master(place_.master_host, address_);
    }
    Socket listener = listen_at(resolve("127.0.0.1", 0), true);
    file_ = {random_key(), own_address(listener).port(), own_addresses()};
    address_ = resolve(file_.addresses.front(), file_.port);
    publish(file_, place_.file);
    return listener;
}

Meeting Host::run() {
    Meeting meeting;
    meeting.listener = listen();
    while (!missing().empty()) {
        auto caller = accept_one(meeting.listener, deadline_);
        if (!caller)
            fail_to_meet(
                list_of(missing()) + " of " + std::to_string(place_.size) + " did not come to " +
                    address_.text() + " within " + std::to_string(place_.patience.count()) + " s",
                place_.file.empty()
                    ? "see whether they were started, and with the same MASTER_ADDR and MASTER_PORT"
                    : "see whether they were started, and see " + place_.file);
        admit(std::move(*caller));
    }
    seats_[0].address = address_;
    copy_text(seats_[0].host, place_.host);
    for (std::size_t r = 1; r < control_.size(); ++r)
        if (!send_all(control_[r], std::as_bytes(std::span(seats_)), deadline_))
            fail_to_meet("lost rank " + std::to_string(r) + " at the start", "see what it says");
    for (const Seat& seat : seats_) {
        meeting.listeners.push_back(seat.address);
        meeting.hosts.push_back(text_of(seat.host));
    }
    meeting.control = std::move(control_);
    if (!place_.file.empty()) withdraw(file_, place_.file);
    return meeting;
}

// Rank 0 as another rank has found it.
struct Master {
    Address address;
    Socket control;
    Socket listener;  // our own, whose port rank 0 was told
};

[[noreturn]] void fail_to_join(const MeetingPlace& place, const std::string& where,
                               const std::string& why) {
    fail_to_meet(
        "rank " + std::to_string(place.rank.value) + " cannot join rank 0 at " + where + ": " + why,
        place.file.empty() ? "see what rank 0 says, and whether MASTER_ADDR and MASTER_PORT are its"
                           : "see what rank 0 says, and whether it sees the same file");
}

// Says who we are to whoever listens there; false when that is not rank 0 of our run.
bool greet(const MeetingPlace& place, Master& master, std::uint32_t key, Deadline deadline) {
    Address mine = own_address(master.control);
    mine.set_port(0);
    master.listener = listen_at(mine, false);
    Hello hello;
    hello.rank = place.rank.value;
    hello.size = place.size;
    hello.port = own_address(master.listener).port();
    hello.key = key;
    copy_text(hello.host, place.host);
    copy_text(hello.version, place.version);
    Welcome welcome;
    return send_all(master.control, bytes_of(hello), deadline) &&
           receive_all(master.control, writable_bytes_of(welcome), deadline) &&
           welcome.magic == Hello{}.magic && welcome.key == key;
}

Master find_by_address(const MeetingPlace& place, Deadline deadline) {
    Master master;
    master.address = resolve(place.master_host, place.master_port);
    const std::string where = place.master_host + ":" + std::to_string(place.master_port);
    auto control = connect_to(master.address, deadline);
    if (!control) fail_to_join(place, where, "nobody listens there");
    master.control = std::move(*control);
    if (!greet(place, master, 0, deadline)) fail_to_join(place, where, "it hung up");
    return master;
}

// The addresses of a file are tried in turn: not every network of rank 0's host is ours too. An old file
// leads to nobody, or to strangers, until rank 0 has replaced it.
std::optional<Master> try_addresses(const MeetingPlace& place, const MeetingFile& file) {
    for (const std::string& address : file.addresses) {
        Master master;
        master.address = resolve(address, file.port);
        auto control = connect_to(master.address, Clock::now() + kConnectTime);
        if (!control) continue;
        master.control = std::move(*control);
        if (greet(place, master, file.key, Clock::now() + kWelcomeTime)) return master;
    }
    return std::nullopt;
}

Master find_by_file(const MeetingPlace& place, Deadline deadline) {
    bool seen = false;
    while (Clock::now() < deadline) {
        if (const auto file = read_meeting_file(place.file)) {
            seen = true;
            if (auto master = try_addresses(place, *file)) return std::move(*master);
        }
        std::this_thread::sleep_for(kPollTime);
    }
    fail_to_join(place, place.file,
                 seen ? "nobody listens where it says" : "there is no such file");
}

Meeting join(const MeetingPlace& place) {
    const Deadline deadline = Clock::now() + place.patience;
    Master master =
        place.file.empty() ? find_by_address(place, deadline) : find_by_file(place, deadline);
    const std::string where = master.address.text();
    Meeting meeting;
    meeting.listener = std::move(master.listener);
    std::vector<Seat> seats(static_cast<std::size_t>(place.size));
    if (!receive_all(master.control, writable_bytes_of(seats[0]), deadline))
        fail_to_join(place, where, "it hung up");
    if (seats[0].refusal[0] != '\0') fail_to_join(place, where, text_of(seats[0].refusal));
    if (!receive_all(master.control, std::as_writable_bytes(std::span(seats).subspan(1)), deadline))
        fail_to_join(place, where, "it hung up");
    for (const Seat& seat : seats) {
        meeting.listeners.push_back(seat.address);
        meeting.hosts.push_back(text_of(seat.host));
    }
    meeting.listeners.front() = master.address;  // rank 0 may know itself by another address
    meeting.control.push_back(std::move(master.control));
    return meeting;
}

}  // namespace

std::optional<Hello> receive_hello(const Socket& socket) {
    Hello hello;
    if (!receive_all(socket, writable_bytes_of(hello), Clock::now() + kHelloTime) ||
        hello.magic != Hello{}.magic)
        return std::nullopt;
    return hello;
}

Meeting meet(const MeetingPlace& place) {
    return place.rank == Rank(0) ? Host(place).run() : join(place);
}

}  // namespace shardscope::net
