// The window: menus, the form, and all views of one workspace.
#pragma once

#include <QElapsedTimer>
#include <QMainWindow>
#include <QSettings>
#include <memory>

#include "gui/session/workspace.h"
#include "gui/views/actions.h"
#include "gui/views/chart_set.h"

class QDockWidget;
class QLabel;
class QMenu;
class QProgressBar;
class QPushButton;
class QSplitter;

namespace shardscope::gui {

class MessageBar;
class Performance;
class RunPanel;
class ScenarioForm;
class StrategyForm;
class StrategyView;

class MainWindow : public QMainWindow {
    Q_OBJECT

public:
    // `settings`: theme, recent files and sizes; null: nothing is remembered. `platform`: the palette that
    // the system theme goes by. Both outlive the window.
    MainWindow(Workspace& workspace, QSettings* settings, const QPalette& platform);
    ~MainWindow() override;

    void set_theme(ThemeChoice choice);
    const Theme& theme() const { return theme_; }
    // Opens files as they are dropped: what cannot be opened is said in the message bar.
    void open_files(const QStringList& paths);
    void search_usual() { search(SearchExtent::usual); }
    Performance& performance() { return *performance_; }
    ChartSet& charts() { return *charts_; }
    MessageBar& messages() { return *messages_; }
    QImage picture(double scale);

protected:
    bool eventFilter(QObject* watched, QEvent* event) override;
    void closeEvent(QCloseEvent* event) override;
    void dragEnterEvent(QDragEnterEvent* event) override;
    void dropEvent(QDropEvent* event) override;

private:
    std::vector<ActionRow> file_rows();
    std::vector<ActionRow> edit_rows();
    std::vector<ActionRow> strategy_rows();
    std::vector<ActionRow> run_rows();
    std::vector<ActionRow> view_rows();
    std::vector<ActionRow> help_rows();
    void make_actions();
    void make_views();
    void make_status_bar();
    void connect_all();

    // Runs what may throw; an Error goes to the message bar.
    bool attempt(const std::function<void()>& act);
    bool open_scenario(const QString& path);
    bool save(bool ask_where);
    bool may_discard();  // asks where there are changes; false: not
    void open_dialog();
    void import_dialog();
    QString ask_file(const QString& title, const QString& filter);
    QString ask_target(const QString& title, const QString& name, const QString& filter);
    void export_chart();
    void export_report();
    void export_trace();
    void export_table();
    void copy_picture();
    void copy_table(bool markdown);
    Chart* focused_chart();
    void remember(const QString& path);
    void show_recent();
    void add_strategy();
    void move_strategy(int by);
    void search(SearchExtent extent);
    void cancel_search();
    void show_title();
    void show_status();
    void show_search();
    void show_shortcuts();
    void show_about();
    void cycle_memory_unit();
    void frame_painted();

    Workspace& workspace_;
    QSettings* settings_;
    const QPalette platform_;
    Theme theme_ = Theme::light();
    ThemeChoice choice_ = ThemeChoice::system;
    std::unique_ptr<Actions> actions_;
    std::unique_ptr<ChartSet> charts_;
    Performance* performance_;
    MessageBar* messages_;
    ScenarioForm* scenario_form_;
    StrategyForm* strategy_form_;
    StrategyView* strategies_;
    RunPanel* run_panel_;
    QDockWidget* form_dock_;
    QSplitter *rows_, *columns_;
    QLabel *counts_, *timing_, *search_text_;
    QProgressBar* search_bar_;
    QPushButton* cancel_;
    QMenu* recent_ = nullptr;
};

}  // namespace shardscope::gui
