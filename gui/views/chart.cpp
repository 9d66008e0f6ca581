#include "gui/views/chart.h"

#include <QFileInfo>
#include <QPageSize>
#include <QPdfWriter>
#include <QSaveFile>
#include <QSvgGenerator>
#include <QToolTip>

#include "core/error.h"
#include "gui/views/chart_header.h"

namespace shardscope::gui {

Chart::Chart(const QString& name, const QString& title, QWidget* parent)
    : QCustomPlot(parent), title_(title), header_(new ChartHeader(this, title)) {
    setObjectName(name);
    setAccessibleName(title);
    setFocusPolicy(Qt::StrongFocus);
    setMouseTracking(true);
    plotLayout()->clear();
    plotLayout()->addElement(0, 0, header_);
    plotLayout()->setRowSpacing(0);
    setNoAntialiasingOnDrag(true);
}

void Chart::set_theme(const Theme& theme) {
    theme_ = theme;
    header_->theme = theme;
    setBackground(QBrush(theme.panel));
    rebuild();
    replot(rpQueuedReplot);
}

void Chart::set_subtitle(const QString& text) { header_->subtitle = text; }

void Chart::set_legend(std::vector<LegendEntry> entries) { header_->legend = std::move(entries); }

QString Chart::tooltip_at(const QPointF&) const { return {}; }

void Chart::fit() { rebuild(); }

void Chart::draw_to(QCPPainter& painter, const QSize& size, const Theme& theme) {
    const Theme before = theme_;
    set_theme(theme);
    toPainter(&painter, size.width(), size.height());
    set_theme(before);
}

QImage Chart::image(const QSize& size, double scale, const Theme& theme) {
    QImage image((QSizeF(size) * scale).toSize(), QImage::Format_RGB32);
    image.fill(theme.panel);
    QCPPainter painter(&image);
    painter.scale(scale, scale);
    draw_to(painter, size, theme);
    return image;
}

void Chart::export_to(const QString& path, const QSize& size, double scale, const Theme& theme) {
    const QString ending = QFileInfo(path).suffix().toLower();
    const auto fail = [&](const QString& why) {
        throw Error("output", ("cannot write " + path + ": " + why).toStdString(),
                    "name another file", ErrorKind::io);
    };
    QSaveFile file(path);
    if (ending != "png" && ending != "svg" && ending != "pdf")
        throw Error("format", ("\"" + path + "\" is no .png, .svg or .pdf").toStdString(),
                    "end the file's name in one of them", ErrorKind::io);
    if (!file.open(QIODevice::WriteOnly)) fail(file.errorString());
    if (ending == "png") {
        if (!image(size, scale, theme).save(&file, "PNG")) fail("the picture is too large");
    } else if (ending == "svg") {
        QSvgGenerator svg;
        svg.setOutputDevice(&file);
        svg.setSize(size);
        svg.setViewBox(QRect(QPoint(0, 0), size));
        svg.setTitle(title_);
        QCPPainter painter(&svg);
        draw_to(painter, size, theme);
    } else {
        QPdfWriter pdf(&file);
        pdf.setTitle(title_);
        // One unit of `size` is a point of 1/72 inch.
        pdf.setResolution(72);
        pdf.setPageMargins(QMarginsF(0, 0, 0, 0));
        pdf.setPageSize(QPageSize(QSizeF(size), QPageSize::Point, {}, QPageSize::ExactMatch));
        QCPPainter painter(&pdf);
        draw_to(painter, size, theme);
    }
    if (!file.commit()) fail(file.errorString());
}

void Chart::mouseMoveEvent(QMouseEvent* event) {
    QCustomPlot::mouseMoveEvent(event);
    if (event->buttons() != Qt::NoButton) return;
    const QString text = tooltip_at(event->position());
    if (text == tooltip_ && (text.isEmpty() || QToolTip::isVisible())) return;
    tooltip_ = text;
    QToolTip::showText(event->globalPosition().toPoint(), text, this);
}

void Chart::leaveEvent(QEvent* event) {
    QToolTip::hideText();
    QCustomPlot::leaveEvent(event);
}

void Chart::paintEvent(QPaintEvent* event) {
    QCustomPlot::paintEvent(event);
    if (hasFocus()) {
        QPainter painter(this);
        painter.setPen(QPen(theme_.accent, 2));
        painter.drawRect(rect().adjusted(1, 1, -1, -1));
    }
    emit painted();
}

void Chart::focusInEvent(QFocusEvent* event) {
    QCustomPlot::focusInEvent(event);
    update();
}

void Chart::focusOutEvent(QFocusEvent* event) {
    QCustomPlot::focusOutEvent(event);
    update();
}

}  // namespace shardscope::gui
