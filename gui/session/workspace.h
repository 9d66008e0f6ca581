// All that one window works on: the session, the opened measurements, the search. Qt Core only.
#pragma once

#include <QObject>

#include "core/catalogue.h"
#include "gui/models/measurements.h"
#include "gui/models/strategy_table.h"
#include "gui/session/search_task.h"
#include "gui/session/session.h"

namespace shardscope::gui {

class Workspace : public QObject {
    Q_OBJECT

public:
    explicit Workspace(Session::Options options, QObject* parent = nullptr);

    Session& session() { return session_; }
    Document& document() { return session_.document(); }
    Measurements& measurements() { return measurements_; }
    SearchTask& search() { return search_; }
    StrategyTable& table() { return table_; }

    // What was measured of each strategy of the newest evaluation, in its order.
    const std::vector<std::optional<MeasuredRow>>& measured() const { return measured_; }

    // The same as the table shows it.
    std::vector<std::optional<MeasuredCell>> measured_cells() const;

    // The comparison that teaches: GPT-3 13B on 16 GPUs.
    void open_first();
    void open_example(const CatalogueEntry& entry);  // of scenario_catalogue()
    // A file of any kind that the program reads: a scenario replaces the document, a report is added to
    // the measurements, a DeepSpeed file becomes a strategy, a Hugging Face configuration the model.
    // Throws Error; then nothing has changed.
    void open(const QString& path);

    // Searches the model and cluster of the document, as it was last evaluated.
    void start_search(SearchExtent extent);
    // Whether what the search looked at (all but the strategies) is what the document holds now.
    bool search_is_current() const;

signals:
    void measured_changed();

private:
    void compare();

    Session session_;
    Measurements measurements_;
    SearchTask search_;
    StrategyTable table_;
    std::vector<std::optional<MeasuredRow>> measured_;
    Scenario searched_;
};

}  // namespace shardscope::gui
