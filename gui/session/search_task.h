// A search that runs while the window goes on: start, progress, cancel, and what was found so far.
// Lives in the window's thread; the work is done by threads of low priority.
#pragma once

#include <QObject>
#include <QString>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/scenario.h"
#include "gui/models/search_map.h"
#include "simulator/search.h"

namespace shardscope::gui {

enum class SearchExtent { usual, thorough };

class SearchTask : public QObject {
    Q_OBJECT

public:
    // `threads`: that simulate; 0: one per core.
    explicit SearchTask(int threads = 0, QObject* parent = nullptr);
    // The same with another way to find strategies.
    SearchTask(std::shared_ptr<const Planner> planner, int threads, QObject* parent = nullptr);
    ~SearchTask() override;  // cancels, and waits for the candidates that are being simulated

    // Cancels a search that runs, forgets its results and begins anew. `model`: the scenario's
    // (Evaluation::model), or null: it is built. `revision`: Document::revision() of the scenario. The
    // scenario's own strategies do not matter.
    void start(const Scenario& scenario, std::shared_ptr<const Model> model, SearchExtent extent,
               std::uint64_t revision, bool cudnn_attention = false);
    // Ends the search at once and keeps what was found; emits `finished`. What is being simulated is
    // finished in the background and thrown away.
    void cancel();
    // Cancels, and forgets all results.
    void clear();
    // Returns when the search is over: for headless use and tests. Runs an event loop. What takes longer than
    // `most` is cancelled then.
    void wait(std::optional<std::chrono::milliseconds> most = {});

    bool running() const { return running_; }
    bool cancelled() const { return cancelled_; }
    // What the last search was started with; 0: there was none.
    std::uint64_t revision() const { return revision_; }
    SearchExtent extent() const { return extent_; }

    std::uint64_t evaluated() const { return evaluated_; }    // with the invalid ones
    std::uint64_t candidates() const { return candidates_; }  // 0: not known yet
    double progress() const;                                  // 0 … 1
    double candidates_per_second() const;
    Seconds elapsed() const { return elapsed_; }
    const std::map<std::string, std::uint64_t>& invalid() const { return invalid_; }
    // Why the search could not be done.
    const std::optional<Error>& error() const { return error_; }

    // All found points: the same object as long as this one lives.
    const SearchMap& map() const { return map_; }
    // In one line: "52 % · 63,100 of 121,344 candidates · 1,850/s · best 2,412 tokens/s/GPU".
    QString status_text() const;
    // What an empty chart says: why there are no points (yet).
    QString empty_text() const;

signals:
    void started();
    void advanced();  // map() and figures have grown; at most ten times a second
    void finished();  // done, cancelled or failed: error()

private:
    struct Worker;
    void run(Worker& worker, const std::stop_token& stop);
    void begin(std::uint64_t id, const std::shared_ptr<const CandidateList>& candidates,
               Bytes capacity, bool tokens);
    void take(std::uint64_t id, const SearchIncrement& increment);
    void end(std::uint64_t id, const std::optional<Error>& error);
    void stop_worker();

    std::shared_ptr<const Planner> planner_;
    int threads_;
    SearchMap map_;
    // The current one is the last; others are on their way out.
    std::vector<std::unique_ptr<Worker>> workers_;
    std::uint64_t last_id_ = 0;
    bool running_ = false, cancelled_ = false;
    std::uint64_t revision_ = 0, evaluated_ = 0, candidates_ = 0;
    SearchExtent extent_ = SearchExtent::usual;
    Seconds elapsed_;
    std::map<std::string, std::uint64_t> invalid_;
    std::optional<Error> error_;
};

}  // namespace shardscope::gui
