#include "gui/models/document.h"

#include <QFileInfo>
#include <QRegularExpression>
#include <QSaveFile>
#include <algorithm>
#include <utility>

#include "core/compact_io.h"
#include "core/error.h"
#include "core/yaml_text.h"

namespace shardscope::gui {
namespace {

// The most that a name may grow by when it is made unique.
constexpr std::size_t kMarkRoom = 16;

bool taken(const std::vector<Strategy>& strategies, const std::string& name, int but) {
    for (std::size_t i = 0; i < strategies.size(); ++i)
        if (static_cast<int>(i) != but && strategies[i].name == name) return true;
    return false;
}

// The name without what made it unique, and short enough to be made so again.
std::string stem_of(const std::string& name, const QString& mark) {
    static const QRegularExpression kMark(" \\((copy)?( ?\\d+)?\\)$");
    QString stem = QString::fromStdString(name);
    if (const auto match = kMark.match(stem); match.hasMatch() && mark == match.captured(1))
        stem.truncate(match.capturedStart());
    while (stem.toUtf8().size() + kMarkRoom > kLongestName) stem.chop(1);
    return stem.toStdString();
}

// `name`, or the first of "stem (copy)", "stem (copy 2)", … or "stem (2)", "stem (3)", … that no other row has.
std::string unique_name(const std::vector<Strategy>& strategies, const std::string& name, int but,
                        bool copy) {
    if (!copy && !taken(strategies, name, but)) return name;
    const std::string stem = stem_of(name, copy ? "copy" : "");
    for (int number = copy ? 1 : 2;; ++number) {
        const std::string mark =
            number == 1 ? "copy" : (copy ? "copy " : "") + std::to_string(number);
        std::string candidate = stem + " (" + mark + ")";
        if (!taken(strategies, candidate, but)) return candidate;
    }
}

// A strategy that is no longer what the file says does not stand where the file had it.
void forget_places(Scenario& scenario, const Scenario& before) {
    for (Strategy& strategy : scenario.strategies) {
        const auto same = [&](const Strategy& old) {
            return old.place == strategy.place && old == strategy;
        };
        if (!strategy.place.empty() &&
            std::none_of(before.strategies.begin(), before.strategies.end(), same))
            strategy.place.clear();
    }
}

void make_absolute(std::string& path) {
    path = QFileInfo(QString::fromStdString(path)).absoluteFilePath().toStdString();
}

// As it is written into a file at `path`: what is relative is so to this process.
Scenario written_at(const QString& path, Scenario scenario) {
    scenario.file = path.toStdString();
    make_absolute(scenario.file);
    if (auto* text = std::get_if<TextData>(&scenario.data)) make_absolute(text->path);
    if (auto* tokens = std::get_if<TokenData>(&scenario.data)) make_absolute(tokens->path);
    if (auto* idx = std::get_if<IdxData>(&scenario.data)) {
        make_absolute(idx->images);
        make_absolute(idx->labels);
    }
    return scenario;
}

void write(const QString& path, const std::string& text) {
    QSaveFile file(path);
    const bool done = file.open(QIODevice::WriteOnly) &&
                      file.write(text.data(), static_cast<qint64>(text.size())) ==
                          static_cast<qint64>(text.size()) &&
                      file.commit();
    if (done) return;
    throw Error("output",
                "cannot write " + path.toStdString() + ": " + file.errorString().toStdString(),
                "choose another folder or file", ErrorKind::io);
}

}  // namespace

std::string unique_strategy_name(const std::vector<Strategy>& strategies, const std::string& name) {
    return unique_name(strategies, name, -1, false);
}

Document::Document(ParseOptions options, QObject* parent)
    : QObject(parent), options_(std::move(options)), history_(1) {}

bool Document::modified() const { return scenario() != saved_; }

void Document::open_text(const std::string& text, const QString& path, bool is_file) {
    Scenario scenario = parse_scenario(text, path.toStdString(), options_);
    saved_ = scenario;
    history_.clear();
    history_.push_back({{}, {}, std::move(scenario), -1, -1});
    current_ = 0;
    merging_ = false;
    path_ = is_file ? path : QString();
    publish(-1);
    emit opened();
}

void Document::open(const QString& path) {
    open_text(read_text_file(path.toStdString(), "scenario"), path, true);
}

void Document::save(const QString& path) {
    const Scenario written = written_at(path, scenario());
    const bool json = path.endsWith(".json", Qt::CaseInsensitive);
    const std::string text = json ? scenario_to_compact_json(written, options_)
                                  : scenario_to_compact_yaml(written, options_);
    write(path, text);
    path_ = path;
    // Where the strategies stand now, for messages.
    std::vector<Strategy> placed;
    try {
        placed = parse_scenario(text, path.toStdString(), options_).strategies;
    } catch (const Error&) {
        // A scenario whose error the simulation reports; then messages name the strategy.
    }
    for (State& state : history_) {
        state.scenario.file = path.toStdString();
        for (Strategy& strategy : state.scenario.strategies) {
            const auto found = std::find(placed.begin(), placed.end(), strategy);
            strategy.place = found == placed.end() ? std::string() : found->place;
        }
    }
    saved_ = scenario();
    merging_ = false;
    publish(-1);
}

void Document::edit(const QString& name, const Change& change, const QString& merge) {
    edit_rows(name, change, merge, {});
}

void Document::edit_rows(const QString& name, const Change& change, const QString& merge,
                         Rows rows) {
    Scenario next = scenario();
    change(next);
    if (next == scenario()) return;
    // An edit of the scenario that adds a strategy, too.
    const int before = static_cast<int>(scenario().strategies.size());
    const int after = static_cast<int>(next.strategies.size());
    if (rows.after < 0 && after > before) rows = {before - 1, after - 1};
    forget_places(next, scenario());
    const bool merges = merging_ && !merge.isEmpty() && history_[current_].merge == merge;
    history_.resize(current_ + 1);
    if (merges) {
        history_[current_].scenario = std::move(next);
    } else {
        history_.push_back({name, merge, std::move(next), rows.before, rows.after});
        ++current_;
    }
    merging_ = true;
    publish(rows.after);
}

void Document::end_merge() { merging_ = false; }

QString Document::undo_name() const { return can_undo() ? history_[current_].edit : QString(); }

QString Document::redo_name() const { return can_redo() ? history_[current_ + 1].edit : QString(); }

void Document::undo() {
    if (!can_undo()) return;
    merging_ = false;
    const int row = history_[current_].row_before;
    --current_;
    publish(row);
}

void Document::redo() {
    if (!can_redo()) return;
    merging_ = false;
    ++current_;
    publish(history_[current_].row_after);
}

void Document::publish(int row) {
    ++revision_;
    emit changed();
    emit file_changed();
    if (row >= 0) emit row_touched(row);
}

void Document::add_strategy(Strategy strategy, const QString& edit_name) {
    const auto& all = scenario().strategies;
    const int row = static_cast<int>(all.size());
    strategy.name = unique_strategy_name(all, strategy.name);
    strategy.place.clear();
    edit_rows(edit_name, [&](Scenario& s) { s.strategies.push_back(std::move(strategy)); }, {},
              {row - 1, row});
}

void Document::duplicate_strategy(int row) {
    if (!has_row(row)) return;
    const auto& all = scenario().strategies;
    Strategy copy = all[static_cast<std::size_t>(row)];
    copy.name = unique_name(all, copy.name, -1, true);
    copy.place.clear();
    edit_rows(
        "duplicate strategy",
        [&](Scenario& s) { s.strategies.insert(s.strategies.begin() + row + 1, std::move(copy)); },
        {}, {row, row + 1});
}

void Document::remove_strategy(int row) {
    const int rows = static_cast<int>(scenario().strategies.size());
    if (!has_row(row) || rows == 1) return;
    edit_rows("remove strategy",
              [&](Scenario& s) { s.strategies.erase(s.strategies.begin() + row); }, {},
              {row, std::min(row, rows - 2)});
}

void Document::move_strategy(int from, int to) {
    if (!has_row(from) || !has_row(to)) return;
    edit_rows("move strategy",
              [&](Scenario& s) {
                  const auto first = s.strategies.begin();
                  if (from < to)
                      std::rotate(first + from, first + from + 1, first + to + 1);
                  else
                      std::rotate(first + to, first + from, first + from + 1);
              },
              {}, {from, to});
}

void Document::set_strategy(int row, const Strategy& strategy, const QString& edit_name,
                            const QString& merge) {
    if (!has_row(row)) return;
    const auto& all = scenario().strategies;
    Strategy next = strategy;
    const std::string& before = all[static_cast<std::size_t>(row)].name;
    next.name = is_name(next.name) ? unique_name(all, next.name, row, false) : before;
    edit_rows(edit_name, [&](Scenario& s) { s.strategies[static_cast<std::size_t>(row)] = next; },
              merge, {row, row});
}

bool Document::has_row(int row) const {
    return row >= 0 && row < static_cast<int>(scenario().strategies.size());
}

}  // namespace shardscope::gui
