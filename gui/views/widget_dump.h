// The window as data, for tests that drive it from outside: where every widget is and what it says.
#pragma once

#include <QJsonObject>
#include <QTimer>

namespace shardscope::gui {

class MainWindow;
class Workspace;

// {widgets: [{name, class, x, y, w, h, visible, enabled, focus, text}], charts: {name: {tooltip, text,
// axes: [{x, y, w, h, left, right, bottom, top}]}}, selected, strategies, revision, up_to_date, undo,
// modified, search: {…}, performance: {…}}. Rectangles are in pixels of the screen.
QJsonObject dump(MainWindow& window, Workspace& workspace);

// Keeps a file up to date with it, several times a second, by renaming: readers never see half of one.
class WidgetDump : public QObject {
    Q_OBJECT

public:
    WidgetDump(QString path, MainWindow& window, Workspace& workspace);

private:
    void write();

    QString path_;
    MainWindow& window_;
    Workspace& workspace_;
    QTimer timer_;
};

}  // namespace shardscope::gui
