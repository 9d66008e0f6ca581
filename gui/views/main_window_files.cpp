// Opening, saving, importing, exporting and copying.
#include <QApplication>
#include <QClipboard>
#include <QFileDialog>
#include <QFileInfo>
#include <QMenu>
#include <QMessageBox>

#include "gui/models/edits.h"
#include "gui/views/export.h"
#include "gui/views/main_window.h"
#include "gui/views/message_bar.h"

namespace shardscope::gui {
namespace {

constexpr int kRecent = 8;
constexpr double kPictureScale = 2;

const char* const kAll = "All that can be opened (*.yaml *.yml *.json)";

}  // namespace

bool MainWindow::open_scenario(const QString& path) {
    return attempt([&] {
        workspace_.open(path);
        remember(path);
        messages_->hide();
    });
}

// Qt's own dialogs: they are the same everywhere and know no surprises.
QString MainWindow::ask_file(const QString& title, const QString& filter) {
    const QString folder = QFileInfo(workspace_.document().path()).path();
    return QFileDialog::getOpenFileName(this, title, folder, filter + ";;All files (*)", nullptr,
                                        QFileDialog::DontUseNativeDialog);
}

QString MainWindow::ask_target(const QString& title, const QString& name, const QString& filter) {
    const QString folder = QFileInfo(workspace_.document().path()).path();
    return QFileDialog::getSaveFileName(this, title, folder + "/" + name, filter, nullptr,
                                        QFileDialog::DontUseNativeDialog);
}

void MainWindow::open_dialog() {
    const QString path = ask_file("Open", kAll);
    if (path.isEmpty()) return;
    bool replaces = true;
    if (!attempt([&] { replaces = file_kind(path) == FileKind::scenario; })) return;
    if (!replaces || may_discard()) open_scenario(path);
}

void MainWindow::import_dialog() {
    const QStringList paths = QFileDialog::getOpenFileNames(
        this, "Import measured reports", QFileInfo(workspace_.document().path()).path(),
        "Reports (*.json);;All files (*)", nullptr, QFileDialog::DontUseNativeDialog);
    for (const QString& path : paths) attempt([&] { workspace_.measurements().open(path); });
}

bool MainWindow::save(bool ask_where) {
    QString path = workspace_.document().path();
    if (ask_where || path.isEmpty()) {
        path = ask_target("Save the scenario", "scenario.yaml", "Scenarios (*.yaml)");
        if (path.isEmpty()) return false;
    }
    return attempt([&] {
        workspace_.document().save(path);
        remember(path);
    });
}

bool MainWindow::may_discard() {
    if (!workspace_.document().modified()) return true;
    QMessageBox box(QMessageBox::Question, "Unsaved changes",
                    "The scenario has changes that are not saved.",
                    QMessageBox::Save | QMessageBox::Discard | QMessageBox::Cancel, this);
    box.setObjectName("unsaved");
    switch (box.exec()) {
        case QMessageBox::Save:
            return save(false);
        case QMessageBox::Discard:
            return true;
        default:
            return false;
    }
}

void MainWindow::remember(const QString& path) {
    if (settings_ == nullptr) return;
    const QString full = QFileInfo(path).absoluteFilePath();
    QStringList recent = settings_->value("recent").toStringList();
    recent.removeAll(full);
    recent.prepend(full);
    settings_->setValue("recent", QStringList(recent.mid(0, kRecent)));
    show_recent();
}

void MainWindow::show_recent() {
    recent_->clear();
    const QStringList paths =
        settings_ == nullptr ? QStringList() : settings_->value("recent").toStringList();
    recent_->setEnabled(!paths.isEmpty());
    int number = 0;
    for (const QString& path : paths) {
        QAction* const action =
            recent_->addAction(QString("&%1  %2").arg(++number).arg(QFileInfo(path).fileName()));
        action->setObjectName(QString("recent_%1").arg(number));
        action->setStatusTip(path);
        connect(action, &QAction::triggered, this, [this, path] {
            if (may_discard()) open_scenario(path);
        });
    }
}

Chart* MainWindow::focused_chart() {
    for (Chart* chart : charts_->all())
        if (chart->hasFocus()) return chart;
    return nullptr;
}

void MainWindow::export_chart() {
    Chart* chart = focused_chart();
    if (chart == nullptr) chart = &charts_->memory();
    const QString path = ask_target("Export “" + chart->title() + "”", chart->objectName() + ".png",
                                    "PNG, SVG or PDF (*.png *.svg *.pdf)");
    if (path.isEmpty()) return;
    // Files are read on white paper, whatever the window looks like.
    if (attempt([&] { chart->export_to(path, chart->size(), kPictureScale, Theme::light()); }))
        messages_->show_note("written to " + path);
}

void MainWindow::export_report() {
    const QString path = ask_target("Export the report", "report.pdf", "PDF (*.pdf)");
    if (!path.isEmpty() && attempt([&] { write_report(path, workspace_, *charts_); }))
        messages_->show_note("written to " + path);
}

void MainWindow::export_trace() {
    const QString path = ask_target("Export a Chrome trace", "trace.json", "JSON (*.json)");
    if (!path.isEmpty() && attempt([&] { write_trace(path, workspace_); }))
        messages_->show_note("written to " + path + "; open it in ui.perfetto.dev");
}

void MainWindow::export_table() {
    const QString path =
        ask_target("Export the table", "strategies.csv", "CSV or Markdown (*.csv *.md)");
    if (!path.isEmpty() && attempt([&] { write_table(path, workspace_); }))
        messages_->show_note("written to " + path);
}

void MainWindow::copy_picture() {
    Chart* const focused = focused_chart();
    Chart& chart = focused != nullptr ? *focused : charts_->memory();
    QApplication::clipboard()->setImage(chart.image(chart.size(), kPictureScale, chart.theme()));
    messages_->show_note("“" + chart.title() + "” is on the clipboard");
}

void MainWindow::copy_table(bool markdown) {
    QApplication::clipboard()->setText(markdown ? table_markdown(workspace_)
                                                : table_csv(workspace_));
    messages_->show_note(markdown ? "the table is on the clipboard as Markdown"
                                  : "the table is on the clipboard as CSV");
}

}  // namespace shardscope::gui
