#include "gui/views/message_bar.h"

#include <QHBoxLayout>
#include <QLabel>
#include <QToolButton>

namespace shardscope::gui {

MessageBar::MessageBar(QWidget* parent) : QFrame(parent) {
    setObjectName("message_bar");
    setFrameShape(QFrame::StyledPanel);
    setAutoFillBackground(true);
    auto* const row = new QHBoxLayout(this);
    row->setContentsMargins(8, 2, 2, 2);
    label_ = new QLabel(this);
    label_->setObjectName("message");
    label_->setAccessibleName("Message");
    label_->setWordWrap(true);
    label_->setTextFormat(Qt::PlainText);
    label_->setTextInteractionFlags(Qt::TextSelectableByMouse | Qt::TextSelectableByKeyboard);
    row->addWidget(label_, 1);
    auto* const close = new QToolButton(this);
    close->setObjectName("close_message");
    close->setAccessibleName("Close the message");
    close->setText("✕");
    close->setAutoRaise(true);
    row->addWidget(close);
    connect(close, &QToolButton::clicked, this, &QWidget::hide);
    hide();
}

void MessageBar::set_theme(const Theme& theme) {
    theme_ = theme;
    QPalette palette = theme.palette();
    palette.setColor(QPalette::Window, alert_ ? theme.panel : theme.selection);
    palette.setColor(QPalette::WindowText, alert_ ? theme.alert : theme.text);
    setPalette(palette);
}

void MessageBar::show_error(const Error& error) {
    show_text("✕ " + QString::fromUtf8(error.what()), true);
}

void MessageBar::show_note(const QString& text) { show_text(text, false); }

void MessageBar::show_text(const QString& text, bool alert) {
    alert_ = alert;
    label_->setText(text);
    set_theme(theme_);
    show();
}

QString MessageBar::text() const { return isHidden() ? QString() : label_->text(); }

}  // namespace shardscope::gui
