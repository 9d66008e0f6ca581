#include "gui/session/search_task.h"

#include <QEventLoop>
#include <QThread>
#include <QTimer>
#include <algorithm>
#include <thread>

#include <fmt/format.h>

#include "core/report/figures.h"

namespace shardscope::gui {

// One search in its own thread. What it tells is posted to the window's thread with the worker's number:
// numbers of workers that were stopped are of no interest.
struct SearchTask::Worker {
    std::uint64_t id = 0;
    Scenario scenario;
    std::shared_ptr<const Model> model;
    SearchExtent extent = SearchExtent::usual;
    bool cudnn_attention = false;
    std::jthread thread;  // last: ends before what it reads
};

SearchTask::SearchTask(int threads, QObject* parent)
    : SearchTask(std::make_shared<const ExhaustivePlanner>(), threads, parent) {}

SearchTask::SearchTask(std::shared_ptr<const Planner> planner, int threads, QObject* parent)
    : QObject(parent),
      planner_(std::move(planner)),
      threads_(threads > 0 ? threads : std::max(1, QThread::idealThreadCount())) {}

SearchTask::~SearchTask() {
    stop_worker();
    workers_.clear();
}

void SearchTask::start(const Scenario& scenario, std::shared_ptr<const Model> model,
                       SearchExtent extent, std::uint64_t revision, bool cudnn_attention) {
    stop_worker();
    map_.reset(nullptr, scenario.cluster.device.memory);
    running_ = true;
    cancelled_ = false;
    revision_ = revision;
    extent_ = extent;
    evaluated_ = candidates_ = 0;
    elapsed_ = {};
    invalid_.clear();
    error_.reset();
    auto& worker = *workers_.emplace_back(std::make_unique<Worker>());
    worker.id = ++last_id_;
    worker.scenario = scenario;
    worker.model = std::move(model);
    worker.extent = extent;
    worker.cudnn_attention = cudnn_attention;
    emit started();
    worker.thread =
        std::jthread([this, &worker](const std::stop_token& stop) { run(worker, stop); });
}

// In the worker's thread.
void SearchTask::run(Worker& worker, const std::stop_token& stop) {
    const auto post = [this](auto&& call) {
        QMetaObject::invokeMethod(this, std::forward<decltype(call)>(call), Qt::QueuedConnection);
    };
    std::optional<Error> error;
    try {
        if (!worker.model)
            worker.model = std::make_shared<const Model>(build_model(worker.scenario.model));
        const Scenario& scenario = worker.scenario;
        const Model& model = *worker.model;
        const auto candidates = std::make_shared<const CandidateList>(
            scenario, model,
            worker.extent == SearchExtent::thorough ? SearchSpace::thorough(scenario, model)
                                                    : SearchSpace::usual(scenario, model));
        post([this, id = worker.id, candidates, capacity = scenario.cluster.device.memory,
              tokens = model.tokens] { begin(id, candidates, capacity, tokens); });
        SearchOptions options;
        options.threads = threads_;
        options.background = true;
        options.cudnn_attention = worker.cudnn_attention;
        options.stop = stop;
        options.on_increment = [&](SearchIncrement increment) {
            post([this, id = worker.id, increment = std::move(increment)] { take(id, increment); });
        };
        planner_->search(scenario, worker.model, *candidates, options);
    } catch (const Error& e) {
        error = e;
    } catch (const std::exception& e) {  // too little memory for so many points
        error = Error("search", std::string("the search ended: ") + e.what(),
                      "search the usual strategies", ErrorKind::run_failed);
    }
    post([this, id = worker.id, error] { end(id, error); });
}

void SearchTask::begin(std::uint64_t id, const std::shared_ptr<const CandidateList>& candidates,
                       Bytes capacity, bool tokens) {
    if (!running_ || id != last_id_) return;
    map_.reset(candidates, capacity, tokens);
    candidates_ = candidates->size();
    emit advanced();
}

void SearchTask::take(std::uint64_t id, const SearchIncrement& increment) {
    if (!running_ || id != last_id_) return;
    map_.add(increment.points);
    for (const auto& [rule, count] : increment.invalid) invalid_[rule] += count;
    evaluated_ = increment.evaluated;
    elapsed_ = increment.elapsed;
    emit advanced();
}

void SearchTask::end(std::uint64_t id, const std::optional<Error>& error) {
    // A thread that has posted this is about to end: the wait is short.
    std::erase_if(workers_, [&](const auto& worker) { return worker->id == id; });
    if (!running_ || id != last_id_) return;
    running_ = false;
    error_ = error;
    emit finished();
}

void SearchTask::stop_worker() {
    if (!workers_.empty()) workers_.back()->thread.request_stop();
}

void SearchTask::cancel() {
    if (!running_) return;
    stop_worker();
    running_ = false;
    cancelled_ = true;
    emit finished();
}

void SearchTask::clear() {
    cancel();
    map_.reset(nullptr, {});
    cancelled_ = false;
    revision_ = evaluated_ = candidates_ = 0;
    invalid_.clear();
    error_.reset();
}

void SearchTask::wait(std::optional<std::chrono::milliseconds> most) {
    if (!running_) return;
    QEventLoop loop;
    QTimer limit;
    limit.setSingleShot(true);
    connect(&limit, &QTimer::timeout, this, &SearchTask::cancel);
    if (most) limit.start(*most);
    connect(this, &SearchTask::finished, &loop, &QEventLoop::quit);
    loop.exec();
}

double SearchTask::progress() const {
    return candidates_ == 0 ? 0
                            : static_cast<double>(evaluated_) / static_cast<double>(candidates_);
}

double SearchTask::candidates_per_second() const {
    return elapsed_.value > 0 ? static_cast<double>(evaluated_) / elapsed_.value : 0;
}

QString SearchTask::status_text() const {
    if (error_) return QString::fromUtf8(error_->what());
    if (revision_ == 0) return {};
    if (candidates_ == 0)
        return cancelled_ ? "cancelled" : running_ ? "looking for candidates" : "";
    const auto count = [](std::uint64_t n) { return format_count(static_cast<std::int64_t>(n)); };
    std::string text = evaluated_ == candidates_
                           ? fmt::format("{} candidates", count(candidates_))
                           : fmt::format("{:.0f} % · {} of {} candidates", 100 * progress(),
                                         count(evaluated_), count(candidates_));
    if (running_) text += fmt::format(" · {}/s", format_count(candidates_per_second()));
    if (cancelled_) text += " · cancelled";
    if (const auto best = map_.best())
        text += fmt::format(" · best {} {}", format_count(best->tokens_per_s_per_gpu),
                            map_.throughput_unit());
    else if (!map_.empty())
        text += " · none fits";
    return QString::fromStdString(text);
}

QString SearchTask::empty_text() const {
    if (error_) return QString::fromUtf8(error_->what());
    if (running_) return "Searching …";
    if (cancelled_) return "The search was cancelled before anything was found.";
    if (revision_ == 0)
        return "No search yet. A search simulates many strategies and shows which ones are worth "
               "a closer look.";
    QString text = "No candidate is valid for this scenario.";
    for (const auto& [rule, count] : invalid_)
        text += QString::fromStdString(fmt::format("\n{}: {}", rule, count));
    return text;
}

}  // namespace shardscope::gui
