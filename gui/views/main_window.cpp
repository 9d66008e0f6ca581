#include "gui/views/main_window.h"

#include <QAbstractSpinBox>
#include <QApplication>
#include <QCloseEvent>
#include <QDockWidget>
#include <QLabel>
#include <QMenu>
#include <QMessageBox>
#include <QMimeData>
#include <QProgressBar>
#include <QPushButton>
#include <QScrollArea>
#include <QScrollBar>
#include <QSplitter>
#include <QStatusBar>
#include <QToolTip>
#include <QVBoxLayout>
#include <QWindow>

#include "core/catalogue.h"
#include "gui/views/message_bar.h"
#include "gui/views/performance.h"
#include "gui/views/run_panel.h"
#include "gui/views/scenario_form.h"
#include "gui/views/strategy_form.h"
#include "gui/views/strategy_view.h"

namespace shardscope::gui {
namespace {

constexpr QSize kUsualSize(1440, 900);

QWidget* titled(const QString& title, QWidget* content, QWidget* parent) {
    auto* const box = new QWidget(parent);
    auto* const column = new QVBoxLayout(box);
    column->setContentsMargins(0, 0, 0, 0);
    column->setSpacing(0);
    auto* const label = new QLabel(title, box);
    QFont bold = label->font();
    bold.setBold(true);
    label->setFont(bold);
    label->setContentsMargins(10, 8, 0, 2);
    column->addWidget(label);
    column->addWidget(content);
    return box;
}

}  // namespace

MainWindow::MainWindow(Workspace& workspace, QSettings* settings, const QPalette& platform)
    : workspace_(workspace),
      settings_(settings),
      platform_(platform),
      performance_(new Performance(this)) {
    setObjectName("main_window");
    setAcceptDrops(true);
    make_views();
    make_status_bar();
    make_actions();
    connect_all();
    resize(kUsualSize);
    ThemeChoice choice = ThemeChoice::system;
    if (settings_ != nullptr) {
        choice = theme_named(settings_->value("theme").toString()).value_or(choice);
        restoreGeometry(settings_->value("geometry").toByteArray());
        rows_->restoreState(settings_->value("rows").toByteArray());
        columns_->restoreState(settings_->value("columns").toByteArray());
    }
    set_theme(choice);
    show_title();
    show_status();
    show_search();
    show_recent();
    strategies_->setFocus();
}

MainWindow::~MainWindow() = default;

void MainWindow::make_views() {
    auto* const forms = new QWidget(this);
    auto* const column = new QVBoxLayout(forms);
    column->setContentsMargins(0, 0, 0, 0);
    column->setSpacing(0);
    scenario_form_ = new ScenarioForm(workspace_.session(), forms);
    strategy_form_ = new StrategyForm(workspace_.session(), workspace_.table(), forms);
    column->addWidget(titled("Scenario", scenario_form_, forms));
    column->addWidget(titled("Selected strategy", strategy_form_, forms), 1);
    auto* const scroll = new QScrollArea(this);
    scroll->setObjectName("forms");
    scroll->setWidgetResizable(true);
    scroll->setFrameShape(QFrame::NoFrame);
    scroll->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
    scroll->setFocusPolicy(Qt::NoFocus);
    scroll->setWidget(forms);
    form_dock_ = new QDockWidget("Scenario and strategy", this);
    form_dock_->setObjectName("form_dock");
    form_dock_->setFeatures(QDockWidget::DockWidgetClosable);
    form_dock_->setWidget(scroll);
    addDockWidget(Qt::LeftDockWidgetArea, form_dock_);
    // Nothing is cut off where the forms have to scroll.
    scroll->setMinimumWidth(forms->minimumSizeHint().width() +
                            scroll->verticalScrollBar()->sizeHint().width());

    auto* const central = new QWidget(this);
    auto* const page = new QVBoxLayout(central);
    page->setContentsMargins(0, 0, 4, 0);
    page->setSpacing(2);
    messages_ = new MessageBar(central);
    page->addWidget(messages_);
    rows_ = new QSplitter(Qt::Vertical, central);
    rows_->setObjectName("rows");
    rows_->setChildrenCollapsible(false);
    page->addWidget(rows_, 1);
    setCentralWidget(central);

    strategies_ = new StrategyView(workspace_.session(), workspace_.table(), rows_);
    columns_ = new QSplitter(Qt::Horizontal, rows_);
    columns_->setObjectName("columns");
    columns_->setChildrenCollapsible(false);
    charts_ = std::make_unique<ChartSet>(workspace_, columns_);
    columns_->addWidget(&charts_->memory());
    columns_->addWidget(&charts_->time());
    columns_->addWidget(&charts_->search());
    columns_->addWidget(&charts_->ranks());
    rows_->addWidget(strategies_);
    rows_->addWidget(columns_);
    rows_->addWidget(&charts_->timeline());
    charts_->memory().align_with(&charts_->time());
    charts_->ranks().hide();
    const Session::Options& options = workspace_.session().options();
    run_panel_ = new RunPanel(options.program, options.machine.cores, rows_);
    rows_->addWidget(run_panel_);
    run_panel_->hide();
    rows_->setSizes({230, 310, 290, 0});
    columns_->setSizes({490, 255, 320, 300});
}

void MainWindow::make_status_bar() {
    // Permanent labels: a message of the status bar would hide the others.
    const auto label = [&](const char* name) {
        auto* const made = new QLabel(this);
        made->setObjectName(name);
        return made;
    };
    counts_ = label("counts");
    timing_ = label("timing");
    search_text_ = label("search_text");
    // Whatever has no room here is in the charts too.
    for (QLabel* text : {timing_, search_text_})
        text->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Preferred);
    search_bar_ = new QProgressBar(this);
    search_bar_->setObjectName("search_progress");
    search_bar_->setAccessibleName("Progress of the search");
    search_bar_->setRange(0, 1000);
    search_bar_->setMaximumWidth(140);
    cancel_ = new QPushButton("Cancel", this);
    cancel_->setObjectName("cancel_search");
    cancel_->setToolTip("Stop the search and keep what it found (Esc)");
    connect(cancel_, &QPushButton::clicked, this, [this] { cancel_search(); });
    statusBar()->addWidget(counts_);
    statusBar()->addWidget(timing_, 2);
    statusBar()->addWidget(search_text_, 3);
    statusBar()->addPermanentWidget(search_bar_);
    statusBar()->addPermanentWidget(cancel_);
}

void MainWindow::make_actions() {
    std::vector<ActionRow> rows;
    for (auto part :
         {file_rows(), edit_rows(), strategy_rows(), run_rows(), view_rows(), help_rows()})
        std::move(part.begin(), part.end(), std::back_inserter(rows));
    actions_ = std::make_unique<Actions>(*this, rows);
    QMenu& file = actions_->menu("&File");
    recent_ = new QMenu("Open re&cent", this);
    recent_->setObjectName("menu_recent");
    file.insertMenu(&(*actions_)["reload"], recent_);
    auto* const examples = new QMenu("E&xamples", this);
    examples->setObjectName("menu_examples");
    file.insertMenu(&(*actions_)["reload"], examples);
    for (const CatalogueEntry& entry : scenario_catalogue()) {
        QAction* const action = examples->addAction(QString::fromUtf8(entry.name.data()));
        connect(action, &QAction::triggered, this, [this, entry] {
            if (may_discard()) attempt([&] { workspace_.open_example(entry); });
        });
    }
    for (const char* panel :
         {"show_form", "show_table", "show_memory", "show_time", "show_search", "show_timeline"})
        (*actions_)[panel].setChecked(true);
}

void MainWindow::connect_all() {
    Session& session = workspace_.session();
    Document& document = workspace_.document();
    connect(&document, &Document::changed, this, [this] {
        performance_->edited(workspace_.document().revision());
        show_title();
        show_status();
    });
    connect(&document, &Document::file_changed, this, &MainWindow::show_title);
    connect(&session, &Session::evaluated, this, &MainWindow::show_status);
    const auto show_run = [this] {
        run_panel_->set_scenario(workspace_.document().scenario(), workspace_.session().selected());
    };
    connect(&document, &Document::changed, run_panel_, show_run);
    connect(&session, &Session::selected_changed, run_panel_, show_run);
    show_run();
    connect(run_panel_, &RunPanel::report_ready, this, [this](const QString& path) {
        attempt([&] { workspace_.measurements().open(path); });
    });
    SearchTask& task = workspace_.search();
    connect(&task, &SearchTask::started, this, [this] {
        performance_->forget_gaps();
        show_search();
    });
    connect(&task, &SearchTask::advanced, this, &MainWindow::show_search);
    connect(&task, &SearchTask::finished, this, [this] {
        performance_->search_ended();
        show_search();
    });
    connect(scenario_form_, &ScenarioForm::config_wanted, this, [this] {
        const QString path = ask_file("Model from a Hugging Face config.json", "JSON (*.json)");
        if (!path.isEmpty()) attempt([&] { workspace_.open(path); });
    });
    connect(scenario_form_, &ScenarioForm::cluster_wanted, this, [this] {
        const QString path = ask_file("Cluster file", "YAML (*.yaml *.yml)");
        if (!path.isEmpty()) attempt([&] { workspace_.open(path); });
    });
    for (Chart* chart : charts_->all())
        connect(chart, &Chart::painted, this, &MainWindow::frame_painted);
    for (QAbstractSpinBox* box : findChildren<QAbstractSpinBox*>()) box->installEventFilter(this);
}

void MainWindow::frame_painted() {
    if (const auto& shown = workspace_.session().evaluation())
        performance_->painted(shown->revision);
}

void MainWindow::set_theme(ThemeChoice choice) {
    choice_ = choice;
    theme_ = Theme::of(choice, platform_);
    QApplication::setPalette(theme_.palette());
    QToolTip::setPalette(theme_.palette());
    messages_->set_theme(theme_);
    scenario_form_->set_theme(theme_);
    strategy_form_->set_theme(theme_);
    strategies_->set_theme(theme_);
    run_panel_->set_theme(theme_);
    charts_->set_theme(theme_);
    if (settings_ != nullptr) settings_->setValue("theme", theme_name(choice));
}

void MainWindow::show_title() {
    const Document& document = workspace_.document();
    const QString name = QString::fromStdString(document.scenario().name);
    setWindowFilePath(document.path());
    setWindowModified(document.modified());
    setWindowTitle(name + "[*] – Shardscope");
    if (!actions_) return;
    const auto show = [&](const char* action, const QString& verb, bool can, const QString& edit) {
        (*actions_)[action].setEnabled(can);
        (*actions_)[action].setText(edit.isEmpty() ? verb : verb + " " + edit);
    };
    show("undo", "&Undo", document.can_undo(), document.undo_name());
    show("redo", "&Redo", document.can_redo(), document.redo_name());
}

void MainWindow::show_status() {
    const auto& evaluation = workspace_.session().evaluation();
    if (!evaluation) return;
    if (!workspace_.session().up_to_date()) {
        timing_->setText("updating…");
        return;
    }
    std::array<int, 4> counts{};
    for (const StrategyReport& strategy : evaluation->report.strategies)
        ++counts[static_cast<std::size_t>(strategy.status)];
    QStringList parts{QString("%1 strategies").arg(evaluation->report.strategies.size())};
    const std::pair<Status, const char*> words[] = {{Status::fits, "%1 fit"},
                                                    {Status::does_not_fit, "%1 do not fit"},
                                                    {Status::invalid, "%1 invalid"},
                                                    {Status::failed, "%1 failed"}};
    for (const auto& [status, text] : words)
        if (const int n = counts[static_cast<std::size_t>(status)]; n > 0)
            parts << QString(text).arg(n);
    counts_->setText(evaluation->error ? QString("✕ ") + evaluation->error->what()
                                       : parts.join(" · "));
    const double usable = gib(evaluation->report.scenario.cluster.device.memory);
    timing_->setText(QString("simulated in %1 ms · %2 GiB usable per device")
                         .arg(evaluation->took.value * 1e3, 0, 'f', 1)
                         .arg(usable, 0, 'f', 1));
}

void MainWindow::show_search() {
    SearchTask& task = workspace_.search();
    const bool on = task.running();
    search_bar_->setVisible(on);
    cancel_->setVisible(on);
    search_bar_->setValue(static_cast<int>(task.progress() * 1000));
    search_text_->setText(task.status_text());
    if (actions_) (*actions_)["cancel"].setEnabled(on);
    if (!on && task.error()) messages_->show_error(*task.error());
}

bool MainWindow::attempt(const std::function<void()>& act) {
    try {
        act();
        return true;
    } catch (const Error& error) {
        messages_->show_error(error);
        return false;
    }
}

void MainWindow::open_files(const QStringList& paths) {
    for (const QString& path : paths) open_scenario(path);
}

// A number is an edit of the document as soon as it is entered, and so Ctrl+Z is the document's, not that of
// the text field inside the spin box.
bool MainWindow::eventFilter(QObject* watched, QEvent* event) {
    if (event->type() == QEvent::ShortcutOverride) {
        const auto* const key = static_cast<QKeyEvent*>(event);
        if (key->matches(QKeySequence::Undo) || key->matches(QKeySequence::Redo)) return true;
    }
    return QMainWindow::eventFilter(watched, event);
}

void MainWindow::closeEvent(QCloseEvent* event) {
    if (!may_discard()) {
        event->ignore();
        return;
    }
    if (settings_ != nullptr) {
        settings_->setValue("geometry", saveGeometry());
        settings_->setValue("rows", rows_->saveState());
        settings_->setValue("columns", columns_->saveState());
    }
    workspace_.search().cancel();
    event->accept();
}

void MainWindow::dragEnterEvent(QDragEnterEvent* event) {
    if (event->mimeData()->hasUrls()) event->acceptProposedAction();
}

void MainWindow::dropEvent(QDropEvent* event) {
    QStringList paths;
    for (const QUrl& url : event->mimeData()->urls())
        if (url.isLocalFile()) paths << url.toLocalFile();
    event->acceptProposedAction();
    open_files(paths);
}

QImage MainWindow::picture(double scale) {
    QImage image((QSizeF(size()) * scale).toSize(), QImage::Format_RGB32);
    image.setDevicePixelRatio(scale);
    image.fill(theme_.window);
    render(&image);
    return image;
}

}  // namespace shardscope::gui
