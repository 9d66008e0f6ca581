// What the window's other commands do.
#include <QDialog>
#include <QDialogButtonBox>
#include <QMessageBox>
#include <QTextBrowser>
#include <QVBoxLayout>

#include "core/version.h"
#include "gui/views/main_window.h"
#include "gui/views/message_bar.h"
#include "gui/views/performance.h"

namespace shardscope::gui {

void MainWindow::add_strategy() {
    Document& document = workspace_.document();
    Strategy strategy;
    strategy.name = "new strategy";
    document.add_strategy(strategy, "add strategy");
    workspace_.session().select(static_cast<int>(document.scenario().strategies.size()) - 1);
}

void MainWindow::move_strategy(int by) {
    const int row = workspace_.session().selected();
    const int count = static_cast<int>(workspace_.document().scenario().strategies.size());
    if (row < 0 || row + by < 0 || row + by >= count) return;
    workspace_.document().move_strategy(row, row + by);
}

void MainWindow::search(SearchExtent extent) {
    attempt([&] { workspace_.start_search(extent); });
}

void MainWindow::cancel_search() {
    performance_->cancel_asked();
    workspace_.search().cancel();
}

void MainWindow::cycle_memory_unit() {
    constexpr MemoryShow next[] = {MemoryShow::decimal, MemoryShow::percent, MemoryShow::binary};
    const MemoryShow show = next[static_cast<std::size_t>(charts_->memory().show_as())];
    charts_->memory().set_show(show);
    charts_->ranks().set_show(show);
}

void MainWindow::show_shortcuts() {
    QDialog dialog(this);
    dialog.setObjectName("shortcuts_dialog");
    dialog.setWindowTitle("Shortcuts");
    auto* const column = new QVBoxLayout(&dialog);
    auto* const text = new QTextBrowser(&dialog);
    text->setObjectName("shortcuts_text");
    text->setHtml(actions_->shortcuts_html());
    column->addWidget(text);
    auto* const buttons = new QDialogButtonBox(QDialogButtonBox::Close, &dialog);
    connect(buttons, &QDialogButtonBox::rejected, &dialog, &QDialog::reject);
    column->addWidget(buttons);
    dialog.resize(520, 640);
    dialog.exec();
}

void MainWindow::show_about() {
    QMessageBox::about(
        this, "About Shardscope",
        "<b>Shardscope " SHARDSCOPE_VERSION
        "</b><p>Compares data parallelism, model parallelism and "
        "ZeRO in memory per GPU and in throughput.</p><p>This window is under the GNU GPL 3, as "
        "QCustomPlot is, with which its charts are drawn. The simulator and the command line are "
        "under the Apache License 2.0.</p>");
}

}  // namespace shardscope::gui
