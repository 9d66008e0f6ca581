#include "cli/processes.h"

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include <fmt/format.h>

#include "backends/process/message_communicator.h"
#include "backends/process/module.h"
#include "backends/process/news.h"
#include "backends/process/tcp_link.h"
#include "core/version.h"

namespace shardscope {
namespace {

constexpr std::uint32_t kChannel = 1000;  // runs take the channels from 0 on

std::unique_ptr<MessageLink> connect(const Environment& environment) {
    const ProcessPlace& place = *environment.place;
    if (place.transport == ProcessPlace::Transport::mpi)
        return load_mpi_link(environment.module_folder, place.rank, place.size);
    net::MeetingPlace meeting;
    meeting.rank = Rank(place.rank);
    meeting.size = place.size;
    meeting.master_host = place.master_addr;
    meeting.master_port = place.master_port;
    meeting.file = place.meeting_file;
    meeting.host = environment.machine.host;
    meeting.version = SHARDSCOPE_VERSION;
    return make_tcp_link(meeting);
}

std::vector<Rank> ranks_of(const MessageLink& link) {
    std::vector<Rank> ranks;
    for (int r = 0; r < link.size(); ++r) ranks.emplace_back(r);
    return ranks;
}

// What became of one process's work.
struct Verdict {
    News news;
    ErrorKind kind = ErrorKind::run_failed;
    std::int32_t failed = 0;
};
static_assert(sizeof(Verdict) % 4 == 0);

Error error_of(const Verdict& verdict, const std::string& where) {
    const Error error = verdict.news.error();
    return Error(error.rule, where + error.message, error.fix, verdict.kind);
}

std::byte* bytes(auto& value) { return reinterpret_cast<std::byte*>(&value); }

}  // namespace

Processes* Processes::meet(const Environment& environment) {
    if (environment.place && !environment.processes)
        environment.processes.reset(
            new Processes(connect(environment), environment.machine.memory));
    return environment.processes.get();
}

Processes::Processes(std::unique_ptr<MessageLink> link, Bytes own_memory)
    : link_(std::move(link)),
      everybody_(make_message_communicator(*link_, ranks_of(*link_), kChannel)) {
    std::vector<double> negative{-static_cast<double>(own_memory.value)};  // exact up to 2^53
    largest(negative);
    memory_ = Bytes(static_cast<std::int64_t>(-negative.front()));
}

Processes::~Processes() {
    if (failed_ || link_->failure()) link_->leave();
}

int Processes::per_host() const {
    std::map<std::string, int> counts;
    int most = 0;
    for (const std::string& host : link_->hosts()) most = std::max(most, ++counts[host]);
    return most;
}

int Processes::hosts() const {
    const auto& names = link_->hosts();
    const auto each = static_cast<std::size_t>(per_host());
    for (std::size_t r = 0; r < names.size(); ++r)
        if (names[r] != names[r - r % each]) return 0;
    const std::size_t distinct = std::set<std::string>(names.begin(), names.end()).size();
    return names.size() == distinct * each ? static_cast<int>(distinct) : 0;
}

// A collective call, whose failure is told by rank 0, with its cause.
void Processes::together(const std::function<void()>& call) {
    try {
        call();
    } catch (const Error& error) {
        link_->abort(error);
        const Error cause = link_->failure().value_or(error);
        if (is_root() || cause.message.starts_with("rank 0 is gone")) throw cause;
        throw Error(std::string(kToldByRank0), cause.message, cause.fix, cause.kind);
    }
}

void Processes::agree(const std::function<void()>& work) {
    Verdict mine;
    try {
        work();
    } catch (const Error& error) {
        mine.news = News::of(error);
        mine.kind = error.kind;
        mine.failed = 1;
    }
    std::vector<Verdict> all(static_cast<std::size_t>(link_->size()));
    together([&] {
        everybody_->all_gather(bytes(mine), bytes(all.front()), sizeof mine / 4, DType::int32);
    });
    const auto first = std::ranges::find_if(all, [](const Verdict& v) { return v.failed != 0; });
    if (first == all.end()) return;
    failed_ = true;
    if (!is_root()) throw Error(std::string(kToldByRank0), first->news.message, "", first->kind);
    const bool same = std::ranges::all_of(all, [&](const Verdict& v) {
        return v.failed != 0 && std::string(v.news.message) == first->news.message;
    });
    throw error_of(*first, same ? "" : fmt::format("rank {}: ", first - all.begin()));
}

bool Processes::all(bool mine) {
    std::int32_t against = mine ? 0 : 1;
    together([&] { everybody_->all_reduce(bytes(against), 1, DType::int32); });
    return against == 0;
}

void Processes::largest(std::vector<double>& values) {
    together([&] {
        everybody_->all_reduce(bytes(values.front()), std::ssize(values), DType::fp64,
                               ReduceOp::maximum);
    });
}

std::vector<std::string> Processes::gather(const std::string& text) {
    struct Text {
        char bytes[64] = {};
    };
    Text mine;
    text.copy(mine.bytes, sizeof mine.bytes - 1);
    std::vector<Text> all(static_cast<std::size_t>(link_->size()));
    together([&] {
        everybody_->all_gather(bytes(mine), bytes(all.front()), sizeof mine / 4, DType::int32);
    });
    std::vector<std::string> texts;
    for (const Text& one : all) texts.emplace_back(one.bytes);
    return texts;
}

void agree(Processes* processes, const std::function<void()>& work) {
    if (processes == nullptr)
        work();
    else
        processes->agree(work);
}

}  // namespace shardscope
