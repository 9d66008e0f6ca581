// A search that runs while the window goes on: start, progress, cancel, and what was found so far.
// Lives in the window's thread; the work is done by threads of low priority.
#pragma once

#include <QObject>
#include <cstdint>
#include <memory>
#include <optional>
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
    ~SearchTask() override;  // cancels and waits

    // Cancels a search that runs, forgets its results and begins anew. `model`: the scenario's
    // (Evaluation::model); `revision`: Document::revision() of the scenario. Only cluster, training and
    // model are looked at, not the scenario's strategies.
    void start(const Scenario& scenario, std::shared_ptr<const Model> model, SearchExtent extent,
               std::uint64_t revision, bool cudnn_attention = false);
    // Keeps what was found. `finished` follows within 200 ms, from the event loop.
    void cancel();
    // Forgets all results.
    void clear();
    // Returns when the search is over: for headless use and tests.
    void wait();

    bool running() const { return running_; }
    bool cancelled() const { return cancelled_; }
    // What the last search was started with; 0: there was none.
    std::uint64_t revision() const { return revision_; }
    SearchExtent extent() const { return extent_; }
    std::uint64_t evaluated() const { return evaluated_; }
    std::uint64_t candidates() const { return candidates_; }
    double progress() const;  // 0 … 1
    double candidates_per_second() const;
    Seconds elapsed() const { return elapsed_; }
    const std::map<std::string, std::uint64_t>& invalid() const { return invalid_; }
    // All found points; never null, valid as long as this object, and the same object for its life.
    const SearchMap& map() const { return map_; }
    // What to say in one line: "52 % · 63,100 of 121,344 candidates · 1,850/s · best 2,412 tokens/s/GPU".
    QString status_text() const;
    const std::optional<Error>& error() const { return error_; }

signals:
    void started();
    void advanced();  // map() and figures have grown; at most ten times a second
    void finished();  // done, cancelled or failed (error())

private:
    struct Worker;
    void take(SearchIncrement increment);
    void end(std::optional<Error> error);

    int threads_;
    SearchMap map_;
    std::unique_ptr<Worker> worker_;
    bool running_ = false, cancelled_ = false;
    std::uint64_t revision_ = 0, evaluated_ = 0, candidates_ = 0;
    SearchExtent extent_ = SearchExtent::usual;
    Seconds elapsed_;
    std::map<std::string, std::uint64_t> invalid_;
    std::optional<Error> error_;
};

}  // namespace shardscope::gui
