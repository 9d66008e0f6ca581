// Live plots of a run: loss, rate, and memory of every rank, over steps.
#pragma once

#include "gui/models/run_log.h"
#include "gui/views/chart.h"

namespace shardscope::gui {

class RunChart : public Chart {
    Q_OBJECT

public:
    // `log` must outlive the chart, which follows it.
    RunChart(const RunLog& log, QWidget* parent);

    QString tooltip_at(const QPointF& point) const override;
    QString text() const override;

protected:
    void rebuild() override;

private:
    const RunLog& log_;
    QCPAxisRect *loss_ = nullptr, *rate_ = nullptr, *memory_ = nullptr;
};

}  // namespace shardscope::gui
