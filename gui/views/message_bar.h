// One line above everything for what went wrong, or what a user should know; never a dialog.
#pragma once

#include <QFrame>

#include "core/error.h"
#include "gui/views/theme.h"

class QLabel;

namespace shardscope::gui {

class MessageBar : public QFrame {
    Q_OBJECT

public:
    explicit MessageBar(QWidget* parent);
    void set_theme(const Theme& theme);

    void show_error(const Error& error);  // the sentence that the command line prints
    void show_note(const QString& text);
    QString text() const;

private:
    void show_text(const QString& text, bool alert);

    Theme theme_ = Theme::light();
    QLabel* label_;
    bool alert_ = false;
};

}  // namespace shardscope::gui
