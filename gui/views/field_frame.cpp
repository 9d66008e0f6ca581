#include "gui/views/field_frame.h"

#include <QEvent>
#include <QPainter>

namespace shardscope::gui {
namespace {

constexpr int kDistance = 3;

}  // namespace

FieldFrame::FieldFrame(QWidget* form) : QWidget(form) {
    setObjectName("field_frame");
    setAttribute(Qt::WA_TransparentForMouseEvents);
    hide();
}

void FieldFrame::surround(QWidget* field, const QColor& colour) {
    if (field_) field_->removeEventFilter(this);
    field_ = field;
    colour_ = colour;
    setVisible(field != nullptr);
    if (field == nullptr) return;
    field->installEventFilter(this);
    follow();
    raise();
    update();
}

void FieldFrame::follow() {
    const QPoint corner = field_->mapTo(parentWidget(), QPoint(0, 0));
    setGeometry(
        QRect(corner, field_->size()).adjusted(-kDistance, -kDistance, kDistance, kDistance));
}

bool FieldFrame::eventFilter(QObject* watched, QEvent* event) {
    if (watched == field_ && (event->type() == QEvent::Move || event->type() == QEvent::Resize ||
                              event->type() == QEvent::Show))
        follow();
    return false;
}

void FieldFrame::paintEvent(QPaintEvent*) {
    QPainter painter(this);
    painter.setRenderHint(QPainter::Antialiasing);
    painter.setPen(QPen(colour_, 2));
    painter.drawRoundedRect(QRectF(rect()).adjusted(1, 1, -1, -1), 3, 3);
}

}  // namespace shardscope::gui
