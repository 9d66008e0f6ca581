// Every command of the window: its words, shortcut and place, in one table. Menus, toolbar and the list of
// shortcuts are made from it.
#pragma once

#include <QAction>
#include <QMainWindow>
#include <functional>
#include <map>
#include <vector>

namespace shardscope::gui {

struct ActionRow {
    QString menu;      // "&File"; where it is the same as the row's above, the menu goes on
    QString name;      // objectName: "open"
    QString text;      // "&Open…"; "-": a separator
    QString shortcut;  // "Ctrl+O"; several: separated by ", "
    QString hint;      // status tip and tooltip
    std::function<void()> act;
    bool toolbar = false;
    bool checkable = false;
};

class Actions {
public:
    // Makes the menus and the toolbar of the window.
    Actions(QMainWindow& window, const std::vector<ActionRow>& rows);

    QAction& operator[](const QString& name) const { return *actions_.at(name); }
    QMenu& menu(const QString& title) const { return *menus_.at(title); }
    // All shortcuts as a table in HTML, by menu; with what charts understand.
    QString shortcuts_html() const;

private:
    std::map<QString, QAction*> actions_;
    std::map<QString, QMenu*> menus_;
    std::vector<std::pair<QString, QAction*>> order_;  // menu, action
};

}  // namespace shardscope::gui
