#include "gui/views/actions.h"

#include <QMenu>
#include <QMenuBar>
#include <QToolBar>

namespace shardscope::gui {
namespace {

// What charts do by themselves, wherever the focus is in them.
constexpr std::pair<const char*, const char*> kChartKeys[] = {
    {"Wheel, Ctrl+wheel", "zoom at the mouse"},
    {"Drag", "select a range of the timeline; zoom the search"},
    {"W, S", "zoom in, zoom out (timeline)"},
    {"A, D", "earlier, later (timeline)"},
    {"F", "zoom to the selected range, or fit all"},
    {"Esc", "fit all"},
    {"Backspace", "the zoom before"},
    {"Up, Down", "select the strategy above, below"},
    {"Ctrl+C", "copy the picture"},
    {"Enter, double click", "add the candidate of the search as a strategy"},
};

QString table_row(const QString& keys, const QString& text) {
    return "<tr><td><b>" + keys.toHtmlEscaped() + "</b>&nbsp;&nbsp;</td><td>" +
           text.toHtmlEscaped() + "</td></tr>";
}

}  // namespace

Actions::Actions(QMainWindow& window, const std::vector<ActionRow>& rows) {
    auto* const toolbar = window.addToolBar("Toolbar");
    toolbar->setObjectName("toolbar");
    toolbar->setMovable(false);
    toolbar->setToolButtonStyle(Qt::ToolButtonTextOnly);
    for (const ActionRow& row : rows) {
        QMenu*& menu = menus_[row.menu];
        if (menu == nullptr) {
            menu = window.menuBar()->addMenu(row.menu);
            menu->setObjectName("menu_" + QString(row.menu).remove('&').toLower());
        }
        if (row.text == "-") {
            menu->addSeparator();
            if (row.toolbar) toolbar->addSeparator();
            continue;
        }
        auto* const action = new QAction(row.text, &window);
        action->setObjectName(row.name);
        action->setCheckable(row.checkable);
        QList<QKeySequence> keys;
        for (const QString& key : row.shortcut.split(", ", Qt::SkipEmptyParts))
            keys << QKeySequence(key);
        action->setShortcuts(keys);
        const QString plain = QString(row.text).remove('&').remove("…");
        const QString hint = row.hint.isEmpty() ? plain : row.hint;
        action->setStatusTip(hint);
        action->setToolTip(keys.isEmpty() ? hint : hint + " (" + keys.front().toString() + ")");
        QObject::connect(action, &QAction::triggered, &window, row.act);
        menu->addAction(action);
        if (row.toolbar) toolbar->addAction(action);
        actions_[row.name] = action;
        order_.emplace_back(row.menu, action);
    }
}

QString Actions::shortcuts_html() const {
    QString html, menu;
    for (const auto& [title, action] : order_) {
        if (action->shortcuts().isEmpty()) continue;
        if (title != menu) {
            if (!menu.isEmpty()) html += "</table>";
            html += "<h4>" + QString(title).remove('&').toHtmlEscaped() + "</h4><table>";
            menu = title;
        }
        QStringList keys;
        for (const QKeySequence& key : action->shortcuts()) keys << key.toString();
        html += table_row(keys.join(", "), QString(action->text()).remove('&').remove("…"));
    }
    html += "</table><h4>In charts</h4><table>";
    for (const auto& [keys, text] : kChartKeys)
        html += table_row(QString::fromUtf8(keys), QString::fromUtf8(text));
    return html + "</table>";
}

}  // namespace shardscope::gui
