// Live plots of a run: loss and rate of every strategy, and memory of every rank of the one that runs, over
// steps.
#pragma once

#include <QTimer>
#include <array>
#include <vector>

#include "gui/models/run_log.h"
#include "gui/views/chart.h"

namespace shardscope::gui {

class RunChart : public Chart {
    Q_OBJECT

public:
    // `log` must outlive the chart, which follows it, at most ten frames a second.
    RunChart(const RunLog& log, QWidget* parent);

    QString tooltip_at(const QPointF& point) const override;
    // A line per strategy: "zero-1: step 12 of 50, loss 3.214, 9,640 tokens/s, 23.41 GiB on the fullest rank".
    QString text() const override;
    void fit() override;
    // What the log has now, at once.
    void show_now();

protected:
    void rebuild() override;

private:
    enum Plot : std::size_t { loss, rate, memory };

    // The graphs of one strategy, and how many of its steps they have.
    struct Drawn {
        QCPGraph *loss, *rate;
        std::size_t steps = 0;
    };

    void style_axes();
    QCPGraph* add_graph(Plot plot, std::size_t series);
    void add_new_steps();
    void add_memory();
    void clear_memory();
    void label_plots();

    const RunLog& log_;
    std::array<QCPAxisRect*, 3> plots_{};
    std::vector<Drawn> drawn_;
    // Of the strategy that runs: one graph per rank.
    std::vector<QCPGraph*> memory_;
    std::size_t memory_series_ = 0, memory_steps_ = 0;
    double memory_unit_ = 1;  // bytes
    QTimer frame_;
};

}  // namespace shardscope::gui
