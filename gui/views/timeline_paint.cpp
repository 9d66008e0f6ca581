#include "gui/views/timeline_paint.h"

#include <cmath>

namespace shardscope::gui {

std::int64_t TimeScale::time(double x) const {
    const double share = std::clamp((x - rect.left()) / rect.width(), 0.0, 1.0);
    return range.start + std::llround(share * static_cast<double>(range.duration()));
}

double columns_per_pixel(const QCPPainter& painter) {
    const QPaintEngine* engine = painter.paintEngine();
    const bool lines =
        engine && (engine->type() == QPaintEngine::SVG || engine->type() == QPaintEngine::Pdf);
    return lines ? 4 : std::clamp(painter.deviceTransform().m11(), 1.0, 4.0);
}

double UnitTicker::getTickStep(const QCPRange& range) {
    const int ticks = std::max(2, length() / per_tick);
    const double exact = range.size() * scale / ticks;
    const double power = std::pow(10.0, std::floor(std::log10(exact)));
    const double mantissa = exact / power;
    step_ = power * (mantissa < 1.5 ? 1 : mantissa < 3.5 ? 2 : mantissa < 7.5 ? 5 : 10);
    return step_ / scale;
}

QString UnitTicker::getTickLabel(double tick, const QLocale&, QChar, int) {
    const int decimals = std::max(0, static_cast<int>(std::ceil(-std::log10(step_) - 1e-9)));
    QLocale plain = QLocale::c();
    const double value = tick * scale;
    return plain.toString(std::abs(value) < step_ * 1e-6 ? 0.0 : value, 'f', decimals);
}

AxisUnit unit_of(const TimeRange& range) {
    if (range.duration() >= 2'000'000'000) return {"s", 1};
    if (range.duration() >= 2'000'000) return {"ms", 1e3};
    return {"µs", 1e6};
}

void draw_with_halo(QPainter& painter, const QLineF& line, const QPen& pen, const Theme& theme) {
    painter.setPen(QPen(theme.panel, pen.widthF() + 2));
    painter.drawLine(line);
    painter.setPen(pen);
    painter.drawLine(line);
}

}  // namespace shardscope::gui
