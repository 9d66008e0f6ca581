#include "gui/views/chart_header.h"

#include <cmath>

namespace shardscope::gui {
namespace {

constexpr int kHeaderMargin = 8, kHeaderGap = 14, kMark = 10;

QFont title_font(const QFont& font) {
    QFont bold = font;
    bold.setBold(true);
    return bold;
}

}  // namespace

ChartHeader::ChartHeader(QCustomPlot* plot, QString title_text)
    : QCPLayoutElement(plot), title(std::move(title_text)) {
    setMargins(QMargins(0, 0, 0, 0));
}

int ChartHeader::lay_out(int width, const std::function<void(int, const QRect&)>& place) const {
    const QFontMetrics plain(mParentPlot->font()), bold(title_font(mParentPlot->font()));
    const int height = plain.height();
    int x = kHeaderMargin, y = 4;
    const int title_width = std::min(bold.horizontalAdvance(title), width - 2 * kHeaderMargin);
    place(-2, QRect(x, y, title_width, height));
    x += title_width + 10;
    if (!subtitle.isEmpty()) {
        const int subtitle_width = plain.horizontalAdvance(subtitle);
        if (x + subtitle_width > width - kHeaderMargin) {
            x = kHeaderMargin;
            y += height + 2;
        }
        place(-1, QRect(x, y, std::min(subtitle_width, std::max(0, width - kHeaderMargin - x)),
                        height));
    }
    y += height + 4;
    x = kHeaderMargin;
    for (std::size_t i = 0; i < legend.size(); ++i) {
        const int entry = std::min(kMark + 4 + plain.horizontalAdvance(legend[i].text),
                                   width - 2 * kHeaderMargin);
        if (x > kHeaderMargin && x + entry > width - kHeaderMargin) {
            x = kHeaderMargin;
            y += height + 2;
        }
        place(static_cast<int>(i), QRect(x, y, entry, height));
        x += entry + kHeaderGap;
    }
    return legend.empty() ? y : y + height + 4;
}

int ChartHeader::height_for(int width) const {
    return lay_out(width, [](int, const QRect&) {});
}

QSize ChartHeader::minimumOuterSizeHint() const {
    const int height = height_for(mParentPlot->viewport().width());
    return {0, least_height ? std::max(height, least_height()) : height};
}

QSize ChartHeader::maximumOuterSizeHint() const {
    return {QWIDGETSIZE_MAX, minimumOuterSizeHint().height()};
}

void ChartHeader::applyDefaultAntialiasingHint(QCPPainter* painter) const {
    painter->setAntialiasing(true);
}

void ChartHeader::draw(QCPPainter* painter) {
    painter->save();
    painter->translate(mOuterRect.topLeft());
    const QFont plain = mParentPlot->font();
    lay_out(mOuterRect.width(), [&](int index, const QRect& rect) {
        painter->setPen(index == -1 ? theme.muted : theme.text);
        painter->setFont(index == -2 ? title_font(plain) : plain);
        QString text = index == -2 ? title : subtitle;
        QRect where = rect;
        if (index >= 0) {
            const LegendEntry& entry = legend[static_cast<std::size_t>(index)];
            const double top = rect.top() + (rect.height() - kMark) / 2.0;
            draw_mark(*painter, QRectF(rect.left() + 0.5, top, kMark, kMark), entry, theme);
            where.adjust(kMark + 4, 0, 4, 0);
            painter->setPen(theme.text);
            text = entry.text;
        }
        text = QFontMetrics(painter->font()).elidedText(text, Qt::ElideRight, where.width() + 1);
        painter->drawText(where, Qt::AlignLeft | Qt::AlignVCenter | Qt::TextDontClip, text);
    });
    painter->restore();
}

void draw_mark(QPainter& painter, const QRectF& rect, const LegendEntry& entry,
               const Theme& theme) {
    using Mark = LegendEntry::Mark;
    painter.save();
    painter.setPen(QPen(theme.frame, 1));
    switch (entry.mark) {
        case Mark::square:
            painter.setBrush(entry.colour);
            painter.drawRect(rect);
            break;
        case Mark::hatched: {
            painter.setBrush(Qt::NoBrush);
            painter.drawRect(rect);
            // Lines rather than a pattern brush, which Qt's own SVG reader loses.
            painter.setPen(QPen(entry.colour, 1));
            const double size = rect.width();
            for (const double at : {size * 0.5, size, size * 1.5}) {
                const double a = std::max(0.0, at - size), b = std::min(size, at);
                painter.drawLine(QPointF(rect.left() + a, rect.top() + b),
                                 QPointF(rect.left() + b, rect.top() + a));
            }
            break;
        }
        case Mark::diamond: {
            painter.setBrush(entry.colour);
            const QPointF c = rect.center();
            const double w = rect.width() * 0.35, h = rect.height() * 0.55;
            const QPointF points[] = {
                {c.x(), c.y() - h}, {c.x() + w, c.y()}, {c.x(), c.y() + h}, {c.x() - w, c.y()}};
            painter.drawPolygon(points, 4);
            break;
        }
        case Mark::line:
            painter.setPen(QPen(entry.colour, 2, Qt::DashLine));
            painter.drawLine(rect.topRight() - QPointF(rect.width() / 2, 0),
                             rect.bottomRight() - QPointF(rect.width() / 2, 0));
            break;
    }
    painter.restore();
}

}  // namespace shardscope::gui
