#include "gui/session/workspace.h"

#include "core/catalogue.h"
#include "core/nearest.h"
#include "gui/models/edits.h"

namespace shardscope::gui {
namespace {

constexpr std::string_view kFirst = "gpt-13b-16-gpus";

}  // namespace

Workspace::Workspace(Session::Options options, QObject* parent)
    : QObject(parent), session_(std::move(options)), table_(session_.document()) {
    connect(&session_, &Session::evaluated, this, [this] {
        table_.set_evaluation(session_.evaluation());
        compare();
    });
    connect(&measurements_, &Measurements::changed, this, &Workspace::compare);
}

void Workspace::compare() {
    measured_.clear();
    if (const auto& evaluation = session_.evaluation())
        measured_ = measurements_.compare(*evaluation);
    table_.set_measurements(measured_cells());
    emit measured_changed();
}

std::vector<std::optional<MeasuredCell>> Workspace::measured_cells() const {
    std::vector<std::optional<MeasuredCell>> cells;
    for (const auto& row : measured_) {
        if (row)
            cells.push_back(MeasuredCell{row->result->peak_memory().peak, row->result->step_time,
                                         row->stale(), row->file + ", " + row->date,
                                         row->peak_error, row->step_time_error});
        else
            cells.emplace_back();
    }
    return cells;
}

void Workspace::open_first() {
    for (const CatalogueEntry& entry : scenario_catalogue())
        if (entry.name == kFirst) open_example(entry);
}

void Workspace::open_example(const CatalogueEntry& entry) {
    document().open_text(std::string(entry.text), QString::fromUtf8(entry.path.data()), false);
}

void Workspace::open(const QString& path) {
    if (!open_file(document(), path)) measurements_.open(path);
}

void Workspace::start_search(SearchExtent extent) {
    session_.wait();
    const auto& evaluation = session_.evaluation();
    if (evaluation->error) throw *evaluation->error;
    searched_ = document().scenario();
    search_.start(searched_, evaluation->model, extent, document().revision());
}

bool Workspace::search_is_current() const {
    const Scenario& now = session_.document().scenario();
    return now.model == searched_.model && now.cluster == searched_.cluster &&
           now.training == searched_.training;
}

}  // namespace shardscope::gui
