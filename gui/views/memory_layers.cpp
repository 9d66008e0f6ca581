#include "gui/views/memory_layers.h"

#include <cmath>

namespace shardscope::gui {
namespace {

constexpr double kAbove = 1.12;            // the axis ends that much above the highest line
constexpr double kLeastOfCapacity = 0.02;  // less in use: the capacity would leave nothing to see

}  // namespace

MemoryLayers::MemoryLayers(QCPAxis* time, QCPAxis* bytes) : QCPAbstractPlottable(time, bytes) {
    setAntialiased(false);
}

void MemoryLayers::set_detail(std::shared_ptr<const StepDetail> detail, std::size_t rank) {
    detail_ = std::move(detail);
    rank_ = rank;
}

bool MemoryLayers::empty() const {
    return !detail_ || rank_ >= detail_->memory.size() || detail_->memory[rank_].empty();
}

Bytes MemoryLayers::planned() const {
    return detail_->plan->memory_of(detail_->trace->ranks[rank_].rank).peak();
}

MemoryPoint MemoryLayers::peak() const {
    const MemoryOverTime& memory = detail_->memory[rank_];
    return memory[memory.peak()];
}

bool MemoryLayers::shows_capacity() const {
    return planned() / detail_->capacity >= kLeastOfCapacity;
}

Bytes MemoryLayers::top() const {
    const Bytes highest = shows_capacity() ? std::max(planned(), detail_->capacity) : planned();
    return Bytes(static_cast<std::int64_t>(static_cast<double>(highest.value) * kAbove));
}

TimeScale MemoryLayers::scale() const { return {range_, QRectF(keyAxis()->axisRect()->rect())}; }

double MemoryLayers::y(Bytes bytes) const {
    const QRectF rect = scale().rect;
    return rect.bottom() - rect.height() * (bytes / top());
}

QCPRange MemoryLayers::getKeyRange(bool& found, QCP::SignDomain) const {
    found = !empty();
    return {0, found ? detail_->step_time.value : 1.0};
}

QCPRange MemoryLayers::getValueRange(bool& found, QCP::SignDomain, const QCPRange&) const {
    found = !empty();
    return {0, found ? static_cast<double>(top().value) : 1.0};
}

void MemoryLayers::draw(QCPPainter* painter) {
    if (empty()) return;
    painter->setRenderHint(QPainter::Antialiasing, false);
    draw_layers(*painter);
    draw_lines(*painter);
}

void MemoryLayers::draw_layers(QCPPainter& painter) const {
    const MemoryOverTime& memory = detail_->memory[rank_];
    const TimeScale scale = this->scale();
    const double fine = columns_per_pixel(painter);
    const auto count =
        static_cast<std::int64_t>(std::max(1.0, std::round(scale.rect.width() * fine)));
    const double width = scale.rect.width() / static_cast<double>(count);
    // The upper edge of each category, as a line of steps.
    std::array<std::vector<QPointF>, kCategories + 1> edges;
    std::size_t shown = memory.size();
    std::size_t at = memory.at(range_.start);
    for (std::int64_t c = 0; c < count; ++c) {
        const std::int64_t end = range_.start + (c + 1) * range_.duration() / count;
        const std::size_t next = memory.at(end - 1);
        const std::size_t most = memory.largest(at, std::max(at, next));
        at = std::max(at, next);
        const double left = scale.rect.left() + static_cast<double>(c) * width;
        if (most != shown) {
            const MemoryPoint point = memory[most];
            Bytes sum;
            for (std::size_t k = 0; k <= kCategories; ++k) {
                // What lies above still starts a step here, so that all edges have the same points.
                const double height = std::round(y(sum) * fine) / fine;
                if (!edges[k].empty()) edges[k].push_back({left, edges[k].back().y()});
                edges[k].push_back({left, height});
                if (k < kCategories) sum += point.categories[k];
            }
            shown = most;
        }
    }
    painter.setPen(Qt::NoPen);
    for (std::size_t k = 0; k < kCategories; ++k) {
        QPolygonF layer;
        layer.reserve(static_cast<qsizetype>(2 * edges[k].size() + 4));
        for (const QPointF& point : edges[k + 1]) layer << point;
        layer << QPointF(scale.rect.right(), edges[k + 1].back().y())
              << QPointF(scale.rect.right(), edges[k].back().y());
        for (auto point = edges[k].rbegin(); point != edges[k].rend(); ++point) layer << *point;
        painter.setBrush(colour(category_colour(static_cast<Category>(k))));
        painter.drawPolygon(layer);
    }
}

void MemoryLayers::draw_lines(QCPPainter& painter) const {
    const TimeScale scale = this->scale();
    const auto across = [&](Bytes bytes) {
        const double height = std::round(y(bytes)) + 0.5;
        return QLineF(scale.rect.left(), height, scale.rect.right(), height);
    };
    draw_with_halo(painter, across(planned()), QPen(theme_.muted, 1, Qt::DotLine), theme_);
    QPen limit(colour(kAlertColour), 1.5);
    limit.setDashPattern({5, 3});
    if (shows_capacity()) draw_with_halo(painter, across(detail_->capacity), limit, theme_);
    const MemoryPoint peak = this->peak();
    if (peak.time < range_.start || peak.time > range_.end) return;
    painter.setRenderHint(QPainter::Antialiasing, true);
    painter.setPen(QPen(theme_.text, 1.2));
    painter.setBrush(theme_.panel);
    painter.drawEllipse(QPointF(scale.x(peak.time), y(peak.total())), 4, 4);
}

}  // namespace shardscope::gui
