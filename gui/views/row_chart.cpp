#include "gui/views/row_chart.h"

#include <QKeyEvent>
#include <QWheelEvent>
#include <cmath>

#include "gui/views/row_plot.h"

namespace shardscope::gui {
namespace {

constexpr double kRowZoomStep = 0.8;  // of a wheel's notch and of a key
constexpr double kNotch = 120;        // QWheelEvent::angleDelta of one notch

}  // namespace

RowChart::RowChart(const QString& name, const QString& title, QWidget* parent)
    : Chart(name, title, parent), plot_(new RowPlot(this)) {
    plotLayout()->addElement(1, 0, plot_);
    // Its element has no margin of its own: the header's lines are enough.
    plotLayout()->setMargins(QMargins(0, 0, 0, 4));
}

void RowChart::set_marks(bool marks) {
    marks_ = marks;
    plot_->marked = marks ? selected_ : -1;
}

void RowChart::set_selected(int strategy) {
    if (selected_ == strategy) return;
    selected_ = strategy;
    plot_->marked = marks_ ? strategy : -1;
    if (plot_->show_marked() && aligned()) partner_->scroll(plot_->first_row());
    replot(rpQueuedReplot);
}

void RowChart::align_with(RowChart* other) {
    for (auto [one, two] : {std::pair(this, other), std::pair(other, this)}) {
        one->partner_ = two;
        one->set_least_header_height([partner = QPointer<RowChart>(two)] {
            return partner ? partner->header_height(partner->width()) : 0;
        });
    }
    other->plot_->names_elsewhere = [other] { return other->aligned(); };
    frame(true);
}

bool RowChart::aligned() const {
    return partner_ && partner_->plot_->rows().size() == plot_->rows().size();
}

void RowChart::frame(bool partner) {
    replot(rpQueuedReplot);
    if (partner && partner_) partner_->replot(rpQueuedReplot);
}

void RowChart::scroll(int first) {
    if (plot_->scroll_to(first)) replot(rpQueuedReplot);
}

void RowChart::fit() {
    plot_->fit();
    replot(rpQueuedReplot);
}

QSize RowChart::sizeHint() const {
    const int rows = static_cast<int>(plot_->rows().size());
    return {420, header_height(420) + 44 + 26 * std::clamp(rows, 3, 16)};
}

QSize RowChart::minimumSizeHint() const { return {180, 120}; }

QRectF RowChart::row_rect(int row) const { return plot_->row_rect(row); }

QRectF RowChart::bar_rect(int row) const { return plot_->bar_rect(row); }

double RowChart::x_of(double value) const { return plot_->x_of(value); }

void RowChart::select_row(int row) {
    if (row < 0 || row >= static_cast<int>(plot_->rows().size())) return;
    if (plot_->make_visible(row)) {
        if (aligned()) partner_->scroll(plot_->first_row());
        replot(rpQueuedReplot);
    }
    emit strategy_clicked(plot_->rows()[static_cast<std::size_t>(row)].strategy);
}

void RowChart::mousePressEvent(QMouseEvent* event) {
    if (event->button() != Qt::LeftButton) return Chart::mousePressEvent(event);
    pressed_ = event->position();
    dragged_ = false;
}

void RowChart::mouseMoveEvent(QMouseEvent* event) {
    if (!pressed_) return Chart::mouseMoveEvent(event);
    const double by = event->position().x() - pressed_->x();
    if (!dragged_ && std::abs(by) < 4) return;
    dragged_ = true;
    if (!plot_->zoomed()) return;
    plot_->pan(plot_->value_at(0) - plot_->value_at(by));
    pressed_ = event->position();
    replot(rpQueuedReplot);
}

void RowChart::mouseReleaseEvent(QMouseEvent* event) {
    const bool click = pressed_ && !dragged_ && event->button() == Qt::LeftButton;
    pressed_.reset();
    if (click) select_row(plot_->row_at(event->position().y()));
    Chart::mouseReleaseEvent(event);
}

void RowChart::wheelEvent(QWheelEvent* event) {
    const double notches = event->angleDelta().y() / kNotch;
    if (plot_->scrolls() && !(event->modifiers() & Qt::ControlModifier)) {
        scroll(plot_->first_row() - static_cast<int>(std::round(notches * 3)));
        if (aligned()) partner_->scroll(plot_->first_row());
    } else {
        plot_->zoom(std::pow(kRowZoomStep, notches), plot_->value_at(event->position().x()));
        replot(rpQueuedReplot);
    }
    event->accept();
}

void RowChart::keyPressEvent(QKeyEvent* event) {
    const auto& rows = plot_->rows();
    const int last = static_cast<int>(rows.size()) - 1;
    int row = -1;
    for (int i = 0; i <= last; ++i)
        if (marks_ && rows[static_cast<std::size_t>(i)].strategy == selected_) row = i;
    switch (event->key()) {
        case Qt::Key_Up:
            return select_row(row < 0 ? last : std::max(0, row - 1));
        case Qt::Key_Down:
            return select_row(std::min(last, row + 1));
        case Qt::Key_Home:
            return select_row(0);
        case Qt::Key_End:
            return select_row(last);
        case Qt::Key_PageUp:
        case Qt::Key_PageDown:
            scroll(plot_->first_row() +
                   (event->key() == Qt::Key_PageUp ? -1 : 1) * plot_->visible_rows());
            if (aligned()) partner_->scroll(plot_->first_row());
            return;
        case Qt::Key_Plus:
        case Qt::Key_Equal:
        case Qt::Key_Minus:
            plot_->zoom(event->key() == Qt::Key_Minus ? 1 / kRowZoomStep : kRowZoomStep,
                        plot_->value_at(plot_->area().center().x()));
            return replot(rpQueuedReplot);
        case Qt::Key_Left:
        case Qt::Key_Right: {
            const double step = plot_->value_at(40) - plot_->value_at(0);
            plot_->pan(event->key() == Qt::Key_Left ? -step : step);
            return replot(rpQueuedReplot);
        }
        default:
            Chart::keyPressEvent(event);
    }
}

void RowChart::resizeEvent(QResizeEvent* event) {
    Chart::resizeEvent(event);
    frame(true);  // the legend may wrap otherwise now
}

}  // namespace shardscope::gui
