#include "gui/views/run_chart.h"

#include <algorithm>
#include <cmath>

#include "core/report/figures.h"

namespace shardscope::gui {
namespace {

using std::chrono_literals::operator""ms;

// Of strategies, one after the other; the palette's without its yellow, which a line on white would hide.
QColor series_colour(std::size_t series, const Theme& theme) {
    constexpr std::array kOrder{Category::parameters, Category::optimizer_states,
                                Category::activations, Category::communication,
                                Category::gradients};
    const QColor colour = gui::colour(category_colour(kOrder[series % kOrder.size()]));
    return theme.dark ? colour.lighter(130) : colour;
}

Bytes largest(const std::vector<Bytes>& memory) {
    return memory.empty() ? Bytes(0) : *std::ranges::max_element(memory);
}

QString unit_of(const RunSeries& series) { return series.start.tokens ? "tokens/s" : "samples/s"; }

QString text_of(const RunSeries& series) {
    QString text = series.start.strategy + ": ";
    if (series.state == RunState::failed && series.error)
        return text + QString::fromUtf8(series.error->what());
    if (series.steps.empty())
        return text + (series.state == RunState::cancelled ? "cancelled" : "starting");
    const RunStep& last = series.steps.back();
    const MemoryUnit unit(largest(last.memory));
    text += QString("step %1 of %2, loss %3, %4 %5")
                .arg(last.step)
                .arg(last.steps)
                .arg(std::isfinite(last.loss) ? QLocale::c().toString(last.loss, 'f', 3) : "–")
                .arg(QString::fromStdString(format_count(last.tokens_per_s)), unit_of(series));
    if (!last.memory.empty())
        text += QString(", %1 %2 on the fullest rank")
                    .arg(QString::fromStdString(unit.format(largest(last.memory))), unit.name());
    return text + (series.state == RunState::cancelled ? ", cancelled" : "");
}

// The step nearest to `x`; steps ascend.
const RunStep* nearest_step(const RunSeries& series, double x) {
    if (series.steps.empty()) return nullptr;
    const auto after = std::ranges::lower_bound(
        series.steps, x, {}, [](const RunStep& s) { return static_cast<double>(s.step); });
    if (after == series.steps.end()) return &series.steps.back();
    if (after == series.steps.begin()) return &*after;
    const auto before = after - 1;
    return x - static_cast<double>(before->step) < static_cast<double>(after->step) - x ? &*before
                                                                                        : &*after;
}

}  // namespace

RunChart::RunChart(const RunLog& log, QWidget* parent) : Chart("run", "Run", parent), log_(log) {
    auto* grid = new QCPLayoutGrid;
    plotLayout()->addElement(1, 0, grid);
    for (std::size_t i = 0; i < plots_.size(); ++i) {
        plots_[i] = new QCPAxisRect(this);
        grid->addElement(0, static_cast<int>(i), plots_[i]);
        plots_[i]->axis(QCPAxis::atBottom)->setLabel("step");
        plots_[i]->axis(QCPAxis::atLeft)->setNumberPrecision(4);
    }
    frame_.setSingleShot(true);
    connect(&frame_, &QTimer::timeout, this, &RunChart::show_now);
    connect(&log_, &RunLog::changed, this, [this] {
        if (!frame_.isActive()) frame_.start(100ms);
    });
    rebuild();
}

void RunChart::style_axes() {
    for (QCPAxisRect* plot : plots_) {
        for (QCPAxis* axis : plot->axes()) {
            axis->setBasePen(QPen(theme().muted));
            axis->setTickPen(QPen(theme().muted));
            axis->setSubTickPen(QPen(theme().muted));
            axis->setTickLabelColor(theme().text);
            axis->setLabelColor(theme().text);
            axis->setTickLabelFont(font());
            axis->setLabelFont(font());
            axis->grid()->setPen(QPen(theme().grid));
            axis->grid()->setZeroLinePen(QPen(theme().grid));
        }
    }
}

QCPGraph* RunChart::add_graph(Plot plot, std::size_t series) {
    QCPAxisRect& rect = *plots_[plot];
    QCPGraph* const graph = addGraph(rect.axis(QCPAxis::atBottom), rect.axis(QCPAxis::atLeft));
    constexpr std::array kStyles{Qt::SolidLine, Qt::DashLine, Qt::DotLine};
    // Five colours, then other lines.
    graph->setPen(QPen(series_colour(series, theme()), 1.5, kStyles[series / 5 % kStyles.size()]));
    return graph;
}

void RunChart::rebuild() {
    clearGraphs();
    drawn_.clear();
    memory_.clear();
    memory_series_ = memory_steps_ = 0;
    style_axes();
    show_now();
}

void RunChart::show_now() {
    if (log_.series().size() < drawn_.size()) {  // another run
        clearGraphs();
        drawn_.clear();
        memory_.clear();
        memory_steps_ = 0;
    }
    add_new_steps();
    add_memory();
    label_plots();
    fit();
    setAccessibleDescription(text());
}

void RunChart::add_new_steps() {
    for (std::size_t i = 0; i < log_.series().size(); ++i) {
        if (i == drawn_.size()) drawn_.push_back({add_graph(loss, i), add_graph(rate, i)});
        const std::vector<RunStep>& steps = log_.series()[i].steps;
        Drawn& drawn = drawn_[i];
        for (; drawn.steps < steps.size(); ++drawn.steps) {
            const RunStep& step = steps[drawn.steps];
            const auto x = static_cast<double>(step.step);
            drawn.loss->addData(x, step.loss);
            // The first one warms up, and would make all others small.
            if (step.step > 1) drawn.rate->addData(x, step.tokens_per_s);
        }
    }
}

void RunChart::clear_memory() {
    for (QCPGraph* graph : memory_) removeGraph(graph);
    memory_.clear();
    memory_steps_ = 0;
}

// Of the last strategy that has run a step.
void RunChart::add_memory() {
    std::size_t series = log_.series().size();
    while (series > 0 && log_.series()[series - 1].steps.empty()) --series;
    if (series == 0) return clear_memory();
    const std::vector<RunStep>& steps = log_.series()[--series].steps;
    if (series != memory_series_ || steps.size() < memory_steps_) clear_memory();
    memory_series_ = series;
    if (memory_steps_ == 0)
        memory_unit_ =
            MemoryUnit(largest(steps.front().memory)).name() == QString("GiB") ? kGiB : kGiB / 1024;
    for (; memory_steps_ < steps.size(); ++memory_steps_) {
        const RunStep& step = steps[memory_steps_];
        while (memory_.size() < step.memory.size()) memory_.push_back(add_graph(memory, series));
        for (std::size_t rank = 0; rank < step.memory.size(); ++rank)
            memory_[rank]->addData(static_cast<double>(step.step),
                                   static_cast<double>(step.memory[rank].value) / memory_unit_);
    }
}

void RunChart::label_plots() {
    const RunSeries* const current = log_.current();
    const auto label = [&](Plot plot, const QString& text) {
        plots_[plot]->axis(QCPAxis::atLeft)->setLabel(text);
    };
    label(loss, "loss");
    label(rate, current == nullptr ? "tokens/s" : unit_of(*current));
    label(memory, memory_unit_ == kGiB ? "GiB per rank" : "MiB per rank");
    std::vector<LegendEntry> lines;
    for (std::size_t i = 0; i < log_.series().size(); ++i)
        lines.push_back(
            {log_.series()[i].start.strategy, series_colour(i, theme()), LegendEntry::Mark::line});
    set_legend(std::move(lines));
    set_subtitle(current == nullptr ? QString("nothing has run yet") : text_of(*current));
}

void RunChart::fit() {
    for (std::size_t i = 0; i < plots_.size(); ++i) {
        QCPAxisRect& plot = *plots_[i];
        for (QCPAxis* axis : plot.axes()) axis->rescale();
        QCPAxis& y = *plot.axis(QCPAxis::atLeft);
        // Memory and rates from 0 on, so that small changes look small; a loss as it is, with some air.
        if (i == loss) {
            const double air = std::max(0.05 * y.range().size(), 1e-3);
            y.setRange(y.range().lower - air, y.range().upper + air);
        } else {
            y.setRange(0, std::max(1.1 * y.range().upper, 1e-3));
        }
        QCPAxis& x = *plot.axis(QCPAxis::atBottom);
        x.setRange(std::min(1.0, x.range().lower), std::max(2.0, x.range().upper));
    }
    replot(rpQueuedReplot);
}

QString RunChart::tooltip_at(const QPointF& point) const {
    for (const QCPAxisRect* plot : plots_) {
        if (!plot->rect().contains(point.toPoint())) continue;
        const double x = plot->axis(QCPAxis::atBottom)->pixelToCoord(point.x());
        QStringList lines;
        for (const RunSeries& series : log_.series()) {
            const RunStep* const step = nearest_step(series, x);
            if (step == nullptr) continue;
            if (plot != plots_[memory]) {
                RunSeries one = {series.start, {*step}, RunState::running, {}};
                lines << text_of(one);
                continue;
            }
            if (&series != &log_.series()[memory_series_]) continue;
            lines << QString("%1, step %2").arg(series.start.strategy).arg(step->step);
            for (std::size_t rank = 0; rank < step->memory.size(); ++rank) {
                const Bytes bytes = step->memory[rank];
                const MemoryUnit unit(bytes);
                lines << QString("rank %1: %2 %3 (%4 bytes)")
                             .arg(rank)
                             .arg(QString::fromStdString(unit.format(bytes)), unit.name(),
                                  QString::fromStdString(format_count(bytes.value)));
            }
        }
        return lines.join('\n');
    }
    return {};
}

QString RunChart::text() const {
    QStringList lines;
    for (const RunSeries& series : log_.series()) lines << text_of(series);
    return lines.isEmpty() ? QString("nothing has run yet") : lines.join('\n');
}

}  // namespace shardscope::gui
