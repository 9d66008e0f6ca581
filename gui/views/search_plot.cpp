#include "gui/views/search_plot.h"

#include <algorithm>
#include <cmath>

#include "gui/views/search_chart.h"

namespace shardscope::gui {
namespace {

constexpr double kPale = 0.35;  // opacity of a search that is out of date

QRgb with_alpha(const QColor& colour, double alpha) {
    return qPremultiply(
        qRgba(colour.red(), colour.green(), colour.blue(), static_cast<int>(255 * alpha)));
}

// A dashed line is weak over filled areas: it gets a border of the background's colour.
void draw_with_halo(QCPPainter& painter, const QLineF& line, const QPen& pen,
                    const QColor& background) {
    painter.setPen(QPen(background, pen.widthF() + 2));
    painter.drawLine(line);
    painter.setPen(pen);
    painter.drawLine(line);
}

void draw_text_with_halo(QPainter& painter, const QPointF& at, const QString& text,
                         const QColor& colour, const QColor& halo) {
    painter.setPen(halo);
    for (const QPointF& by : {QPointF(-1, 0), QPointF(1, 0), QPointF(0, -1), QPointF(0, 1)})
        painter.drawText(at + by, text);
    painter.setPen(colour);
    painter.drawText(at, text);
}

}  // namespace

SearchPlot::SearchPlot(QCPAxis* x, QCPAxis* y) : QCPAbstractPlottable(x, y) {
    setSelectable(QCP::stNone);
    removeFromLegend();
}

QCPRange SearchPlot::getKeyRange(bool& found, QCP::SignDomain) const {
    found = map != nullptr && !map->empty();
    return {0, found ? map->largest_gib() : 1};
}

QCPRange SearchPlot::getValueRange(bool& found, QCP::SignDomain, const QCPRange&) const {
    found = map != nullptr && !map->empty();
    return {0, found ? map->largest_throughput() : 1};
}

QPointF SearchPlot::place(double gib, double throughput) const {
    return {mKeyAxis->coordToPixel(gib), mValueAxis->coordToPixel(throughput)};
}

QPointF SearchPlot::marker_place(const Marker& marker) const {
    QPointF at = place(marker.gib, marker.throughput);
    const QRect area = mKeyAxis->axisRect()->rect();
    at.setX(std::min(at.x(), area.right() - kMarkerRadius));
    return at;
}

void SearchPlot::draw(QCPPainter* painter) {
    const QRect area = mKeyAxis->axisRect()->rect();
    if (area.isEmpty()) return;
    const bool points = map != nullptr && !map->empty();
    if (points) {
        painter->save();
        if (pale) painter->setOpacity(kPale);
        if (map->points().size() <= kMostDots)
            draw_dots(*painter, area);
        else
            draw_density(*painter, area);
        draw_frontier(*painter);
        painter->restore();
    }
    if (capacity.value > 0) draw_capacity(*painter, area);
    if (!points) draw_sentence(*painter, area);
    draw_markers(*painter);
    draw_current(*painter);
}

void SearchPlot::draw_dots(QCPPainter& painter, const QRect& area) const {
    painter.setAntialiasing(true);
    painter.setPen(Qt::NoPen);
    for (const bool fits : {false, true}) {
        QColor colour = fits ? fitting_colour() : beyond_colour();
        colour.setAlphaF(0.65F);
        painter.setBrush(colour);
        for (const SearchPoint& point : map->points()) {
            if (point.fits != fits) continue;
            const QPointF at = place(gib(point.peak), point.tokens_per_s_per_gpu);
            if (area.contains(at.toPoint())) painter.drawEllipse(at, 1.6, 1.6);
        }
    }
}

void SearchPlot::draw_density(QCPPainter& painter, const QRect& area) {
    // As fine as what it is drawn on, and no finer than files need.
    const double scale =
        std::clamp(painter.transform().m11() * painter.device()->devicePixelRatioF(), 1.0, 4.0);
    Density::View view;
    view.first_gib = mKeyAxis->range().lower;
    view.last_gib = mKeyAxis->range().upper;
    view.first_throughput = mValueAxis->range().lower;
    view.last_throughput = mValueAxis->range().upper;
    view.width = static_cast<int>(area.width() * scale);
    view.height = static_cast<int>(area.height() * scale);
    const bool changed = density_.update(*map, view);
    const double limit = gib(map->capacity());
    if (changed || raster_capacity_ != limit) colour_density(limit);
    raster_capacity_ = limit;
    painter.setRenderHint(QPainter::SmoothPixmapTransform, false);
    painter.drawImage(QRectF(area), raster_);
}

// More points, more colour: by the logarithm, since counts differ by powers of ten.
void SearchPlot::colour_density(double limit) {
    constexpr std::size_t kShades = 64;
    const Density::View& view = density_.view();
    if (raster_.size() != QSize(view.width, view.height))
        raster_ = QImage(view.width, view.height, QImage::Format_ARGB32_Premultiplied);
    const double steps = std::log2(1.0 + std::max(1u, density_.largest()));
    std::array<QRgb, kShades> fitting{}, beyond{};
    for (std::size_t i = 0; i < kShades; ++i) {
        const double share = static_cast<double>(i) / (kShades - 1);
        fitting[i] = with_alpha(fitting_colour(), 0.45 + 0.55 * share);
        beyond[i] = with_alpha(beyond_colour(), 0.35 + 0.55 * share);
    }
    const auto shade = [&](std::uint32_t count) {
        const double share = std::log2(1.0 + count) / steps;
        return std::min(kShades - 1, static_cast<std::size_t>(share * (kShades - 1)));
    };
    const double columns = view.width / std::max(1e-30, view.last_gib - view.first_gib);
    const auto first_beyond =
        std::clamp<std::ptrdiff_t>(std::lround((limit - view.first_gib) * columns), 0, view.width);
    for (int y = 0; y < view.height; ++y) {
        auto* line = reinterpret_cast<QRgb*>(raster_.scanLine(y));
        const auto counts = density_.row(y);
        for (std::ptrdiff_t x = 0; x < view.width; ++x) {
            const std::uint32_t count = counts[static_cast<std::size_t>(x)];
            line[x] = count == 0 ? 0 : (x < first_beyond ? fitting : beyond)[shade(count)];
        }
    }
}

// Steps: until the next point's memory is there, no more throughput is to be had.
void SearchPlot::draw_frontier(QCPPainter& painter) const {
    const std::vector<SearchPoint> points = map->frontier();
    if (points.empty()) return;
    QPolygonF line;
    for (const SearchPoint& point : points) {
        const QPointF at = place(gib(point.peak), point.tokens_per_s_per_gpu);
        if (!line.empty()) line << QPointF(at.x(), line.back().y());
        line << at;
    }
    painter.setAntialiasing(true);
    painter.setBrush(Qt::NoBrush);
    painter.setPen(QPen(theme.panel, 3.5));
    painter.drawPolyline(line);
    painter.setPen(QPen(theme.text, 1.5));
    painter.drawPolyline(line);
    painter.setPen(QPen(theme.panel, 1));
    painter.setBrush(theme.text);
    for (const SearchPoint& point : points)
        painter.drawEllipse(place(gib(point.peak), point.tokens_per_s_per_gpu), 3, 3);
}

void SearchPlot::draw_capacity(QCPPainter& painter, const QRect& area) const {
    const double x = mKeyAxis->coordToPixel(gib(capacity));
    if (x < area.left() || x > area.right()) return;
    painter.setAntialiasing(false);
    QPen pen(colour(kAlertColour), 1.5, Qt::CustomDashLine);
    pen.setDashPattern({4, 3});
    draw_with_halo(painter, QLineF(x, area.top(), x, area.bottom()), pen, theme.panel);
    const QString text = tr("does not fit");
    const QFontMetricsF metrics(painter.font());
    const double right = x + 5 + metrics.horizontalAdvance(text);
    if (right > area.right()) return;  // to the left of the line it would be wrong
    // At the bottom, where strategies that nobody wants are.
    draw_text_with_halo(painter, {x + 5, area.bottom() - 5.0}, text, theme.alert, theme.panel);
}

void SearchPlot::draw_markers(QCPPainter& painter) const {
    painter.setAntialiasing(true);
    QFont font = painter.font();
    font.setBold(true);
    font.setPixelSize(10);
    painter.setFont(font);
    // The selected one on top.
    std::vector<const Marker*> order;
    for (const Marker& marker : markers)
        if (marker.row != selected) order.push_back(&marker);
    for (const Marker& marker : markers)
        if (marker.row == selected) order.push_back(&marker);
    for (const Marker* marker : order) {
        const QPointF at = marker_place(*marker);
        const bool chosen = marker->row == selected;
        const double radius = chosen ? kMarkerRadius + 2 : kMarkerRadius;
        const QColor fill = marker->fits ? marker_colour() : colour(kAlertColour);
        painter.setPen(QPen(chosen ? theme.text : theme.panel, chosen ? 2 : 1.5));
        painter.setBrush(fill);
        const bool outside = mKeyAxis->coordToPixel(marker->gib) > at.x() + 0.5;
        if (outside)  // an arrow to where it is
            painter.drawPolygon(QPolygonF(
                {at + QPointF(radius, 0), at + QPointF(2, -radius), at + QPointF(-radius, -radius),
                 at + QPointF(-radius, radius), at + QPointF(2, radius)}));
        else
            painter.drawEllipse(at, radius, radius);
        painter.setPen(Theme::text_on(fill));
        const QRectF box(at - QPointF(20, 20), QSizeF(40, 40));
        painter.drawText(box.translated(outside ? -1 : 0, 0), Qt::AlignCenter,
                         QString::number(marker->row + 1));
    }
}

void SearchPlot::draw_current(QCPPainter& painter) const {
    if (!current) return;
    painter.setAntialiasing(true);
    painter.setBrush(Qt::NoBrush);
    const QPointF at = place(gib(current->peak), current->tokens_per_s_per_gpu);
    painter.setPen(QPen(theme.panel, 4));
    painter.drawEllipse(at, 9, 9);
    painter.setPen(QPen(theme.accent, 2));
    painter.drawEllipse(at, 9, 9);
}

void SearchPlot::draw_sentence(QCPPainter& painter, const QRect& area) const {
    painter.setPen(theme.muted);
    painter.drawText(area.adjusted(12, 12, -12, -12), Qt::AlignCenter | Qt::TextWordWrap, sentence);
}

}  // namespace shardscope::gui
