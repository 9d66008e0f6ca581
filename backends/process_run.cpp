#include "backends/process_run.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "backends/memory_probe.h"
#include "backends/process/message_communicator.h"
#include "backends/process/trace_exchange.h"
#include "backends/rank_failures.h"
#include "backends/run_record.h"
#include "core/error.h"

namespace shardscope {
namespace {

// What a rank tells all others after a step.
struct StepTale {
    double loss = 0, gradient_norm_squared = 0;
    std::int64_t memory = 0;  // bytes
    std::int32_t has_loss = 0, has_norm = 0, wants_to_stop = 0, unused = 0;
};
constexpr std::int64_t kTaleWords = sizeof(StepTale) / 4;

std::vector<Rank> everybody(int size) {
    std::vector<Rank> ranks;
    for (int r = 0; r < size; ++r) ranks.emplace_back(r);
    return ranks;
}

// "over tcp", and which ranks are on which host where there are several.
std::string placement(const MessageLink& link) {
    std::string text = "every rank is a process; they communicate over " + std::string(link.name());
    std::vector<std::pair<std::string, int>> hosts;
    for (const std::string& host : link.hosts()) {
        const auto known = std::ranges::find(hosts, host, &std::pair<std::string, int>::first);
        if (known == hosts.end())
            hosts.emplace_back(host, 1);
        else
            ++known->second;
    }
    if (hosts.size() == 1) return text;
    for (std::size_t i = 0; i < hosts.size(); ++i)
        text += (i == 0 ? ": " : ", ") + std::to_string(hosts[i].second) + " on " + hosts[i].first;
    return text;
}

// One run on one process.
class ProcessRun {
public:
    ProcessRun(MessageLink& link, const Plan& plan, const ProcessRunOptions& how,
               const RunOptions& options)
        : link_(link),
          plan_(plan),
          how_(how),
          options_(options),
          world_(make_message_communicator(link, everybody(link.size()), 0)),
          tales_(static_cast<std::size_t>(link.size())),
          scalars_(static_cast<std::size_t>(plan.layout.world)),
          memory_(scalars_.size()),
          record_(plan, options) {}

    Trace run();
    std::string place() const { return rank_ ? rank_->place() : ""; }

private:
    bool step(std::int64_t number);
    void exchange_tales(bool wants_to_stop);
    Trace collect();

    MessageLink& link_;
    const Plan& plan_;
    const ProcessRunOptions& how_;
    const RunOptions& options_;
    std::unique_ptr<Communicator> world_;
    std::unique_ptr<RankRun> rank_;  // null: the plan has no work for this process
    std::vector<StepTale> tales_;
    std::vector<StepScalars> scalars_;
    std::vector<Bytes> memory_;  // of the ranks that scalars_ has
    RunRecord record_;
    MemoryProbe probe_;
};

Trace ProcessRun::run() {
    if (link_.rank().value < plan_.layout.world) rank_ = how_.make_rank();
    world_->barrier();  // everybody is ready
    probe_.start();
    record_.start();
    for (std::int64_t number = 0; number < plan_.training.steps; ++number)
        if (!step(number)) break;
    return collect();
}

// False when somebody wants to stop after it.
bool ProcessRun::step(std::int64_t number) {
    world_->barrier();
    if (rank_) rank_->run_step(number);
    world_->barrier();  // everybody has finished the step
    if (rank_) rank_->finish_step();
    if (rank_ && how_.inspect) how_.inspect(link_.rank().value, number, rank_->state());
    probe_.sample();
    exchange_tales(options_.stop.stop_requested());
    record_.add_step(number, scalars_, memory_);
    return std::ranges::none_of(tales_, [](const StepTale& t) { return t.wants_to_stop != 0; });
}

void ProcessRun::exchange_tales(bool wants_to_stop) {
    StepTale mine;
    if (rank_) {
        const StepScalars& scalars = rank_->scalars();
        Bytes memory = rank_->memory();
        if (how_.measures_host_memory) memory += probe_.growth();
        mine = {scalars.loss.value_or(0), scalars.gradient_norm_squared.value_or(0), memory.value,
                scalars.loss.has_value(), scalars.gradient_norm_squared.has_value()};
    }
    mine.wants_to_stop = wants_to_stop;
    world_->all_gather(reinterpret_cast<const std::byte*>(&mine),
                       reinterpret_cast<std::byte*>(tales_.data()), kTaleWords, DType::int32);
    for (std::size_t r = 0; r < scalars_.size(); ++r) {
        scalars_[r] = {};
        memory_[r] = Bytes(tales_[r].memory);
        if (tales_[r].has_loss != 0) scalars_[r].loss = tales_[r].loss;
        if (tales_[r].has_norm != 0)
            scalars_[r].gradient_norm_squared = tales_[r].gradient_norm_squared;
    }
}

Trace ProcessRun::collect() {
    std::optional<RankTrace> mine;
    if (rank_) {
        mine = rank_->take_trace(options_.record_spans);
        if (how_.measures_host_memory) mine->memory.outside_plan = probe_.growth();
    }
    Trace trace;
    trace.ranks = gather_traces(*world_, mine);
    trace.notes = how_.notes;
    if (rank_)
        for (std::string& note : rank_->notes()) trace.notes.push_back(std::move(note));
    trace.notes.push_back(placement(link_));
    const auto working = std::span(link_.hosts()).first(scalars_.size());
    const auto here = std::ranges::count(working, link_.hosts()[link_.rank().index()]);
    record_.finish(trace, static_cast<int>(here), how_.cores);
    if (const std::string note = MemoryProbe::note(); how_.measures_host_memory && !note.empty())
        trace.notes.push_back(note);
    return trace;
}

}  // namespace

namespace {

Error with_place(const Error& error, const std::string& place) {
    if (place.empty()) return error;
    return Error(error.rule, error.message + " (" + place + ")", error.fix, error.kind);
}

}  // namespace

Trace run_as_process(MessageLink& link, const Plan& plan, const ProcessRunOptions& options,
                     const RunOptions& run_options) {
    if (plan.layout.world > link.size())
        throw Error("ranks",
                    "the strategy needs " + std::to_string(plan.layout.world) + " ranks, but " +
                        std::to_string(link.size()) + " processes were started",
                    "start as many");
    if (const auto earlier = link.failure())
        throw Error("not-run", "the processes had ended before: " + earlier->message, earlier->fix,
                    ErrorKind::run_failed);
    RankFailures failures;
    std::string place;
    try {
        ProcessRun run(link, plan, options, run_options);
        try {
            return run.run();
        } catch (...) {
            place = run.place();
            failures.add_current(link.rank());
            // Before anything is released: on a device that hangs that may take for ever.
            link.abort(with_place(*failures.kept(), place));
            throw;
        }
    } catch (...) {
        failures.add_current(link.rank());
    }
    const Error own = with_place(*failures.kept(), place);
    link.abort(own);
    const auto cause = link.failure();
    if (!cause || cause->message == own.message) throw own;
    throw with_place(
        *cause, place.empty() ? "" : "rank " + std::to_string(link.rank().value) + ": " + place);
}

}  // namespace shardscope
