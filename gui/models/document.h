// The scenario that is open, its file, and every edit of it with its way back.
//
// The history keeps whole scenarios: they are small values, and what undo restores is then exact by
// construction. Lives in the window's thread.
#pragma once

#include <QObject>
#include <QString>
#include <cstdint>
#include <functional>
#include <vector>

#include "core/scenario.h"
#include "core/scenario_io.h"

namespace shardscope::gui {

// `name`, or "name (2)", "name (3)", … where another strategy has it.
std::string unique_strategy_name(const std::vector<Strategy>& strategies, const std::string& name);

class Document : public QObject {
    Q_OBJECT

public:
    using Change = std::function<void(Scenario&)>;

    explicit Document(ParseOptions options, QObject* parent = nullptr);

    const Scenario& scenario() const { return history_[current_].scenario; }
    // Rises with every change of the scenario, undo and redo included; never used twice.
    std::uint64_t revision() const { return revision_; }
    const ParseOptions& parse_options() const { return options_; }

    // Empty for a scenario that has no file yet.
    const QString& path() const { return path_; }
    // Whether the scenario differs from what its file holds (or from what it was opened with).
    bool modified() const;

    // A new scenario, and an empty history. Text is parsed first: what throws leaves all as it was.
    // `path` is for messages and relative paths; `is_file`: it can be saved there.
    void open_text(const std::string& text, const QString& path, bool is_file);
    void open(
        const QString& path);  // throws Error ("read", exit code 2; what parse_scenario throws)
    // The YAML that the command line reads (or JSON, by the file's name), without what is default;
    // comments of a file that was opened are lost. Throws Error "output"; the file is then as it was.
    void save(const QString& path);

    // One step of the history, called `name` ("set tensor parallel"). Edits in a row with the same
    // `merge`, unless it is empty, are one step: a slider's. Nothing happens where nothing changes.
    void edit(const QString& name, const Change& change, const QString& merge = {});
    void end_merge();  // the next edit is a step of its own; so is the one after an undo or a save

    bool can_undo() const { return current_ > 0; }
    bool can_redo() const { return current_ + 1 < history_.size(); }
    QString undo_name() const;  // of the edit that undo takes back; empty: none
    QString redo_name() const;
    void undo();
    void redo();

    // Edits of the list of strategies; rows out of range do nothing, nor does removing the only one.
    // Names are kept unique by a number or "(copy)" at their end; what cannot be a name (is_name) changes
    // no name.
    void add_strategy(Strategy strategy, const QString& edit_name);  // at the end
    void duplicate_strategy(int row);                                // below it
    void remove_strategy(int row);
    void move_strategy(int from, int to);  // `to`: its row afterwards
    void set_strategy(int row, const Strategy& strategy, const QString& edit_name,
                      const QString& merge = {});

signals:
    void changed();       // the scenario
    void file_changed();  // path() or modified()
    void opened();        // another scenario, after `changed`
    // The row that a user wants to see after an edit, undo or redo of strategies.
    void row_touched(int row);

private:
    struct State {
        QString edit;  // what led here
        QString merge;
        Scenario scenario;
        int row_before = -1, row_after = -1;  // that the edit touched; −1: none in particular
    };
    struct Rows {
        int before = -1, after = -1;
    };
    bool has_row(int row) const;
    void edit_rows(const QString& name, const Change& change, const QString& merge, Rows rows);
    void publish(int row);

    ParseOptions options_;
    std::vector<State> history_;
    std::size_t current_ = 0;
    bool merging_ = false;  // the current state may take further edits
    Scenario saved_;        // what the file holds
    std::uint64_t revision_ = 1;
    QString path_;
};

}  // namespace shardscope::gui
