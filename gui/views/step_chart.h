// Step time as stacked bars: compute, exposed communication, bubble, optimizer.
#pragma once

#include "gui/models/step_bars.h"
#include "gui/views/row_chart.h"

namespace shardscope::gui {

class StepChart : public RowChart {
    Q_OBJECT

public:
    explicit StepChart(QWidget* parent = nullptr);  // objectName "time"

    void set_bars(StepBars bars);
    const StepBars& bars() const { return bars_; }

    QString tooltip_at(const QPointF& point) const override;
    QString text() const override;

protected:
    void rebuild() override;

private:
    StepBars bars_;
};

}  // namespace shardscope::gui
