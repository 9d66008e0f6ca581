#include "gui/views/row_plot.h"

#include <algorithm>
#include <cmath>

namespace shardscope::gui {
namespace {

constexpr double kTallestRow = 34;
constexpr double kSmallestFont = 6;  // pixels: below it files leave rows out and say so
constexpr double kLeastArea = 50;    // of the bars, in pixels
constexpr double kWideArea = 0.38;   // of the width, before names and measurements take more

double text_width(const QFont& font, const QString& text) {
    return text.isEmpty() ? 0 : QFontMetricsF(font).horizontalAdvance(text);
}

QFont with_size(QFont font, double pixels) {
    font.setPixelSize(std::max(1, static_cast<int>(pixels)));
    return font;
}

}  // namespace

double BarRow::total() const {
    double sum = 0;
    for (const BarSegment& segment : segments) sum += segment.value;
    return sum;
}

RowPlot::RowPlot(Chart* chart) : QCPLayoutElement(chart), chart_(chart) {
    setMargins(QMargins(0, 0, 0, 0));
}

void RowPlot::set_rows(std::vector<BarRow> rows, BarAxis axis) {
    const bool was_zoomed = zoomed() && axis.unit == axis_.unit;
    rows_ = std::move(rows);
    axis_ = std::move(axis);
    if (!was_zoomed) fit();
}

void RowPlot::fit() {
    low_ = 0;
    high_ = axis_.end;
}

void RowPlot::zoom(double factor, double at) {
    // No further out than everything, no further in than a ten-thousandth.
    const double span = std::clamp((high_ - low_) * factor, axis_.end * 1e-4, axis_.end);
    const double share = high_ > low_ ? (at - low_) / (high_ - low_) : 0.5;
    low_ = std::clamp(at - share * span, 0.0, axis_.end - span);
    high_ = span >= axis_.end ? axis_.end : low_ + span;
}

void RowPlot::pan(double by) {
    const double span = high_ - low_;
    low_ = std::clamp(low_ + by, 0.0, std::max(0.0, axis_.end - span));
    high_ = low_ + span;
}

bool RowPlot::scroll_to(int first) {
    const int last = std::max(0, static_cast<int>(rows_.size()) - shown_);
    wanted_ = std::clamp(first, 0, last);
    return std::exchange(first_, wanted_) != wanted_;
}

bool RowPlot::make_visible(int row) {
    if (row < first_) return scroll_to(row);
    return row >= first_ + shown_ && scroll_to(row - shown_ + 1);
}

int RowPlot::marked_row() const {
    if (marked < 0) return -1;
    const auto row = std::ranges::find(rows_, marked, &BarRow::strategy);
    return row == rows_.end() ? -1 : static_cast<int>(row - rows_.begin());
}

bool RowPlot::show_marked() {
    const int row = marked_row();
    shows_marked_ = row < 0 || shown_ == 0;
    return !shows_marked_ && make_visible(row);
}

void RowPlot::keep_marked_in_view() {
    const int row = marked_row(), rows = static_cast<int>(rows_.size());
    const int first = std::clamp(wanted_, 0, std::max(0, rows - shown_on_screen_));
    const bool was_in_view = row >= first && row < first + shown_on_screen_;
    if (row >= 0 && shown_ > 0 && (shows_marked_ || was_in_view)) {
        wanted_ = std::clamp(wanted_, row - shown_ + 1, row);
        shows_marked_ = false;
    }
    shown_on_screen_ = shown_;
}

void RowPlot::update(UpdatePhase phase) {
    QCPLayoutElement::update(phase);
    if (phase != upLayout) return;
    lay_out_rows();
    lay_out_columns();
}

void RowPlot::lay_out_rows() {
    font_ = mParentPlot->font();
    small_ = with_size(font_, font_.pixelSize() - 1);
    const double label = QFontMetricsF(small_).height();
    const double top = rect().top() + label + 4;
    const double room = std::max(0.0, rect().bottom() - label - 6 - top);
    const int rows = static_cast<int>(rows_.size());
    const double least = std::ceil(QFontMetricsF(font_).height()) + 2;
    shown_ = rows;
    row_height_ = std::min(kTallestRow, std::floor(room / std::max(1, rows)));
    if (row_height_ < least && !all_rows()) {
        row_height_ = least;
        shown_ = std::clamp(static_cast<int>(room / least), std::min(1, rows), rows);
    } else if (row_height_ < least) {
        row_height_ = std::max(room / std::max(1, rows), kSmallestFont * 1.25);
        font_ = with_size(font_, std::max(kSmallestFont, row_height_ / 1.25));
        // What is left out is named in a row of its own.
        const int fit = std::max(1, static_cast<int>(room / row_height_));
        if (fit < rows) shown_ = std::max(1, fit - 1);
    }
    if (!all_rows()) keep_marked_in_view();
    first_ = all_rows() ? 0 : std::clamp(wanted_, 0, rows - shown_);
    area_ = QRectF(0, top, 0, row_height_ * shown_);
}

QString RowPlot::rows_shown(int first) const {
    const auto rows = static_cast<int>(rows_.size());
    return all_rows() ? QString("… and %1 more").arg(rows - shown_)
                      : QString("%1–%2 of %3").arg(first + 1).arg(first + shown_).arg(rows);
}

void RowPlot::lay_out_columns() {
    const double width = rect().width();
    name_width_ = end_width_ = marker_width_ = 0;
    for (const BarRow& row : rows_) {
        if (names_shown()) name_width_ = std::max(name_width_, text_width(font_, row.name));
        end_width_ = std::max(end_width_, text_width(font_, row.end));
        marker_width_ = std::max(marker_width_, text_width(font_, row.marker_text));
    }
    const auto area_width = [&] {
        double left = width - 2 * kMargin - (axis_.limit_beyond ? kBeyond : 0);
        for (const double column : {name_width_, end_width_, marker_width_})
            if (column > 0) left -= column + kGap;
        return left;
    };
    // Bars come first; the rest says again what tooltips say.
    const double names = name_width_;
    name_width_ = std::min(names, 0.3 * width);
    if (area_width() < kWideArea * width) marker_width_ = 0;
    if (area_width() < kLeastArea) name_width_ = std::min(name_width_, 0.2 * width);
    if (area_width() < kLeastArea) end_width_ = 0;
    if (const double spare = area_width() - kWideArea * width; spare > 0)
        name_width_ = std::min(names, name_width_ + spare);
    // Below the names stands which rows are shown: numbers are of no use when they are cut.
    if (scrolls() && names_shown())
        name_width_ = std::max(
            name_width_, text_width(small_, rows_shown(static_cast<int>(rows_.size()) - shown_)));
    area_.setLeft(std::round(rect().left() + kMargin + (name_width_ > 0 ? name_width_ + kGap : 0)));
    area_.setWidth(std::floor(std::max(10.0, area_width())));
}

double RowPlot::x_of(double value) const {
    return area_.left() + (value - low_) / (high_ - low_) * area_.width();
}

double RowPlot::value_at(double x) const {
    return low_ + (x - area_.left()) / area_.width() * (high_ - low_);
}

QRectF RowPlot::row_rect(int row) const {
    if (row < first_ || row >= first_ + shown_) return {};
    return {static_cast<double>(rect().left()), area_.top() + (row - first_) * row_height_,
            static_cast<double>(rect().width()), row_height_};
}

QRectF RowPlot::bar_rect(int row) const {
    const QRectF whole = row_rect(row);
    if (whole.isEmpty() || rows_[static_cast<std::size_t>(row)].segments.empty()) return {};
    const double height = std::max(3.0, std::round(whole.height() * 0.72));
    const double left = std::round(std::max(x_of(0), area_.left()));
    const double total = rows_[static_cast<std::size_t>(row)].total();
    const double right = std::round(std::min(x_of(total), area_.right()));
    return {left, std::round(whole.top() + (whole.height() - height) / 2),
            std::max(0.0, right - left), height};
}

int RowPlot::row_at(double y) const {
    if (y < area_.top() || y >= area_.bottom() || row_height_ <= 0) return -1;
    return first_ + static_cast<int>((y - area_.top()) / row_height_);
}

std::optional<double> RowPlot::limit_x() const {
    if (!axis_.limit) return std::nullopt;
    if (axis_.limit_beyond) return std::round(area_.right() + kBeyond * 0.7);
    const double x = std::round(x_of(*axis_.limit));
    if (x < area_.left() || x > area_.right()) return std::nullopt;
    return x;
}

QColor RowPlot::behind(int row) const {
    return marked >= 0 && rows_[static_cast<std::size_t>(row)].strategy == marked ? theme.selection
                                                                                  : theme.panel;
}

}  // namespace shardscope::gui
