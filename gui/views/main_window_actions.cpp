// The table of the window's commands.
#include <QCoreApplication>

#include "gui/views/main_window.h"
#include "gui/views/run_panel.h"
#include "gui/views/strategy_view.h"

namespace shardscope::gui {

std::vector<ActionRow> MainWindow::file_rows() {
    const QString menu = "&File";
    return {
        {menu, "open", "&Open…", "Ctrl+O", "Open a scenario, or a DeepSpeed or Hugging Face file",
         [this] { open_dialog(); }, true},
        {menu, "reload", "&Reload", "Ctrl+R", "Read the scenario's file again",
         [this] {
             const QString path = workspace_.document().path();
             if (!path.isEmpty() && may_discard()) open_scenario(path);
         }},
        {menu, "save", "&Save", "Ctrl+S", "Save the scenario as YAML", [this] { save(false); },
         true},
        {menu, "save_as", "Save &as…", "Ctrl+Shift+S", "Save the scenario in another file",
         [this] { save(true); }},
        {menu, "", "-", "", "", {}, true},
        {menu, "import", "&Import measured…", "Ctrl+I",
         "Show a report of `shardscope run --json` beside the simulation",
         [this] { import_dialog(); }, true},
        {menu, "forget", "&Forget measurements", "", "Close all reports",
         [this] { workspace_.measurements().clear(); }},
        {menu, "", "-", "", "", {}},
        {menu, "export", "&Export chart…", "Ctrl+E", "Write the chart that has the focus",
         [this] { export_chart(); }, true},
        {menu, "export_report", "Export &report…", "Ctrl+Shift+E",
         "Write table, charts and notes as PDF", [this] { export_report(); }},
        {menu, "export_table", "Export &table…", "", "Write the table as CSV or Markdown",
         [this] { export_table(); }},
        {menu, "export_trace", "Export &Chrome trace…", "",
         "Write the selected strategy's step for ui.perfetto.dev", [this] { export_trace(); }},
        {menu, "", "-", "", "", {}},
        {menu, "quit", "&Quit", "Ctrl+Q", "", [this] { close(); }},
    };
}

std::vector<ActionRow> MainWindow::edit_rows() {
    const QString menu = "&Edit";
    return {
        {menu, "", "-", "", "", {}, true},
        {menu, "undo", "&Undo", "Ctrl+Z", "", [this] { workspace_.document().undo(); }, true},
        {menu, "redo", "&Redo", "Ctrl+Shift+Z, Ctrl+Y", "",
         [this] { workspace_.document().redo(); }, true},
        {menu, "", "-", "", "", {}},
        {menu, "copy_picture", "Copy &picture", "Ctrl+Alt+C",
         "Copy the chart that has the focus as a picture", [this] { copy_picture(); }},
        {menu, "copy_csv", "&Copy table as CSV", "Ctrl+Shift+C", "All figures in full precision",
         [this] { copy_table(false); }},
        {menu, "copy_markdown", "Copy table as &Markdown", "Ctrl+Shift+M",
         "The table as it is shown", [this] { copy_table(true); }},
    };
}

std::vector<ActionRow> MainWindow::strategy_rows() {
    const QString menu = "&Strategy";
    const auto selected = [this] { return workspace_.session().selected(); };
    return {
        {menu, "", "-", "", "", {}, true},
        {menu, "add", "&Add", "Ctrl+Shift+N", "Add a strategy: plain data parallelism",
         [this] { add_strategy(); }, true},
        {menu, "duplicate", "&Duplicate", "Ctrl+D", "Add a copy of the selected strategy below it",
         [this, selected] { workspace_.document().duplicate_strategy(selected()); }, true},
        {menu, "remove", "&Remove", "Delete", "Remove the selected strategy",
         [this, selected] { workspace_.document().remove_strategy(selected()); }, true},
        {menu, "", "-", "", "", {}},
        {menu, "move_up", "Move &up", "Alt+Up", "", [this] { move_strategy(-1); }},
        {menu, "move_down", "Move d&own", "Alt+Down", "", [this] { move_strategy(1); }},
        {menu, "", "-", "", "", {}},
        {menu, "from_deepspeed", "From DeepSpeed &JSON…", "",
         "Add the strategy that a DeepSpeed configuration describes",
         [this] {
             const QString path = ask_file("DeepSpeed configuration", "JSON (*.json)");
             if (!path.isEmpty()) open_scenario(path);
         }},
    };
}

std::vector<ActionRow> MainWindow::run_rows() {
    const QString menu = "&Run";
    return {
        {menu, "", "-", "", "", {}, true},
        {menu, "search", "&Search strategies", "F5",
         "Simulate every strategy for this model and cluster",
         [this] { search(SearchExtent::thorough); }, true},
        {menu, "search_usual", "Search &usual strategies", "Shift+F5",
         "Simulate what a practitioner would try", [this] { search(SearchExtent::usual); }},
        {menu, "cancel", "&Cancel the search", "Esc", "Keep what was found",
         [this] { cancel_search(); }},
        {menu, "", "-", "", "", {}},
        {menu, "show_run", "&Train here…", "F9",
         "Run strategies for real on this machine, and measure them",
         [this] { run_panel_->setVisible((*actions_)["show_run"].isChecked()); }, true, true},
    };
}

std::vector<ActionRow> MainWindow::view_rows() {
    const QString menu = "&View";
    std::vector<ActionRow> rows;
    const auto panel = [&](const char* name, const char* text, const char* key, auto* widget) {
        rows.push_back({menu, name, text, key, "Show or hide",
                        [this, name, widget] { widget->setVisible((*actions_)[name].isChecked()); },
                        false, true});
    };
    panel("show_form", "&Forms", "Alt+1", form_dock_);
    panel("show_table", "&Table", "Alt+2", strategies_);
    panel("show_memory", "&Memory", "Alt+3", &charts_->memory());
    panel("show_time", "&Step time", "Alt+4", &charts_->time());
    panel("show_search", "S&earch", "Alt+5", &charts_->search());
    panel("show_timeline", "Time&line", "Alt+6", &charts_->timeline());
    panel("show_ranks", "Memory by &rank", "Alt+7", &charts_->ranks());
    rows.push_back({menu, "", "-", "", "", {}});
    rows.push_back({menu, "memory_unit", "Memory in GiB, GB or &percent", "Ctrl+G", "The next unit",
                    [this] { cycle_memory_unit(); }});
    rows.push_back({menu, "", "-", "", "", {}});
    rows.push_back({menu, "toggle_dark", "Light or &dark", "Ctrl+T", "The other theme",
                    [this] { set_theme(theme_.dark ? ThemeChoice::light : ThemeChoice::dark); }});
    rows.push_back({menu, "system_theme", "S&ystem's theme", "", "",
                    [this] { set_theme(ThemeChoice::system); }});
    return rows;
}

std::vector<ActionRow> MainWindow::help_rows() {
    const QString menu = "&Help";
    return {
        {menu, "shortcuts", "&Shortcuts", "?, F1", "All keys", [this] { show_shortcuts(); }},
        {menu, "about", "&About Shardscope", "", "", [this] { show_about(); }},
    };
}

}  // namespace shardscope::gui
