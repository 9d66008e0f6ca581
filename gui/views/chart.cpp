#include "gui/views/chart.h"

#include <QClipboard>
#include <QFileInfo>
#include <QGuiApplication>
#include <QKeyEvent>
#include <QSaveFile>
#include <QSvgGenerator>
#include <QToolTip>

#include "core/error.h"
#include "gui/views/chart_header.h"
#include "gui/views/pdf.h"

namespace shardscope::gui {
namespace {

// Lines as rows of a table where they have tabs: what follows the first tab is aligned to the right.
QString as_table(const QString& text) {
    if (!text.contains('\t')) return text;
    QString html = "<table cellspacing=0>";
    for (const QString& line : text.split('\n')) {
        const QStringList cells = line.split('\t');
        html += cells.size() == 1 ? "<tr><td colspan=3>" : "<tr><td>";
        html += cells.front().toHtmlEscaped() + "</td>";
        for (const QString& cell : cells.mid(1))
            html += "<td align=right style='padding-left:12px; white-space:nowrap'>" +
                    cell.toHtmlEscaped() + "</td>";
        html += "</tr>";
    }
    return html + "</table>";
}

}  // namespace

Chart::Chart(const QString& name, const QString& title, QWidget* parent)
    : QCustomPlot(parent), title_(title), header_(new ChartHeader(this, title)) {
    setObjectName(name);
    setAccessibleName(title);
    setFocusPolicy(Qt::StrongFocus);
    setMouseTracking(true);
    plotLayout()->clear();
    plotLayout()->addElement(0, 0, header_);
    plotLayout()->setRowSpacing(0);
    header_->theme = theme_;
    setBackground(QBrush(theme_.panel));
    setNoAntialiasingOnDrag(true);
    // Charts that change together are painted together: one frame, and not one for each.
    setPlottingHint(QCP::phImmediateRefresh, false);
    // In pixels: files have another number of dots per inch than the screen, layouts go by the screen's.
    QFont pixels = font();
    pixels.setPixelSize(QFontInfo(pixels).pixelSize());
    setFont(pixels);
}

void Chart::set_theme(const Theme& theme) {
    theme_ = theme;
    header_->theme = theme;
    setBackground(QBrush(theme.panel));
    rebuild();
    replot(rpQueuedReplot);
}

void Chart::refresh() {
    rebuild();
    setAccessibleDescription(text());
    replot(rpQueuedReplot);
}

int Chart::header_height(int width) const { return header_->height_for(width); }

void Chart::set_least_header_height(std::function<int()> height) {
    header_->least_height = std::move(height);
}

void Chart::set_subtitle(const QString& text) { header_->subtitle = text; }

void Chart::set_legend(std::vector<LegendEntry> entries) { header_->legend = std::move(entries); }

QString Chart::tooltip_at(const QPointF&) const { return {}; }

void Chart::fit() { rebuild(); }

std::vector<QCPRange> Chart::ranges() const {
    std::vector<QCPRange> ranges;
    for (const QCPAxisRect* rect : axisRects())
        for (const QCPAxis* axis : rect->axes()) ranges.push_back(axis->range());
    return ranges;
}

void Chart::set_ranges(const std::vector<QCPRange>& ranges) {
    std::size_t next = 0;
    for (QCPAxisRect* rect : axisRects())
        for (QCPAxis* axis : rect->axes())
            if (next < ranges.size()) axis->setRange(ranges[next++]);
}

void Chart::draw_with(QCPPainter& painter, const QSize& size) {
    drawing_to_file_ = true;
    toPainter(&painter, size.width(), size.height());
    drawing_to_file_ = false;
    updateLayout();  // back to the screen's, which mouse events go by
}

void Chart::draw_to(QCPPainter& painter, const QSize& size, const Theme& theme, int header_height) {
    const auto least = std::exchange(header_->least_height, [=] { return header_height; });
    if (theme == theme_) {
        draw_with(painter, size);
        header_->least_height = least;
        return;
    }
    // Neither set_theme nor a replot: the screen's picture is right as it is.
    const Theme before = theme_;
    const std::vector<QCPRange> zoom = ranges();
    const auto change = [&](const Theme& to) {
        theme_ = header_->theme = to;
        setBackground(QBrush(to.panel));
        rebuild();
        set_ranges(zoom);
    };
    change(theme);
    draw_with(painter, size);
    change(before);
    header_->least_height = least;
    updateLayout();
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
    if (ending != "png" && ending != "svg" && ending != "pdf")
        throw Error("format", ("\"" + path + "\" is no .png, .svg or .pdf").toStdString(),
                    "end the file's name in one of them", ErrorKind::io);
    QSaveFile file(path);
    if (!file.open(QIODevice::WriteOnly)) fail(file.errorString());
    if (ending == "png") {
        if (!image(size, scale, theme).save(&file, "PNG")) fail("the picture is too large");
    } else if (ending == "svg") {
        QSvgGenerator svg;
        svg.setOutputDevice(&file);
        svg.setResolution(96);  // a unit of `size` is a pixel of CSS
        svg.setSize(size);
        svg.setViewBox(QRect(QPoint(0, 0), size));
        svg.setTitle(title_);
        QCPPainter painter(&svg);
        painter.setMode(QCPPainter::pmVectorized);
        draw_to(painter, size, theme);
    } else {
        // One unit of `size` is a point of 1/72 inch.
        const QByteArray pdf =
            pdf_of(title_, QPageSize(QSizeF(size), QPageSize::Point, {}, QPageSize::ExactMatch),
                   QPageLayout::Portrait, [&](QPdfWriter& writer) {
                       QCPPainter painter(&writer);
                       painter.setMode(QCPPainter::pmVectorized);
                       draw_to(painter, size, theme);
                   });
        if (file.write(pdf) != pdf.size()) fail(file.errorString());
    }
    if (!file.commit()) fail(file.errorString());
}

void Chart::keyPressEvent(QKeyEvent* event) {
    if (event->matches(QKeySequence::Copy)) {
        QGuiApplication::clipboard()->setImage(image(this->size(), devicePixelRatioF(), theme_));
    } else if (event->key() == Qt::Key_F && event->modifiers() == Qt::NoModifier) {
        fit();
    } else if (event->key() == Qt::Key_Escape) {
        fit();
        event->ignore();  // the window stops what runs
    } else {
        QCustomPlot::keyPressEvent(event);
    }
}

void Chart::mouseMoveEvent(QMouseEvent* event) {
    QCustomPlot::mouseMoveEvent(event);
    if (event->buttons() != Qt::NoButton) return;
    const QString text = tooltip_at(event->position());
    if (text == tooltip_ && (text.isEmpty() || QToolTip::isVisible())) return;
    tooltip_ = text;
    QToolTip::showText(event->globalPosition().toPoint(), as_table(text), this);
}

void Chart::leaveEvent(QEvent* event) {
    QToolTip::hideText();
    QCustomPlot::leaveEvent(event);
}

void Chart::paintEvent(QPaintEvent* event) {
    if (bufferDevicePixelRatio() != devicePixelRatioF()) {  // moved to another screen
        setBufferDevicePixelRatio(devicePixelRatioF());
        replot(rpQueuedReplot);
    }
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
