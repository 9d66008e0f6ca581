// Peak memory per device as stacked bars by category, against the device's capacity.
#pragma once

#include "gui/models/memory_bars.h"
#include "gui/views/row_chart.h"

namespace shardscope::gui {

class MemoryChart : public RowChart {
    Q_OBJECT

public:
    explicit MemoryChart(QWidget* parent = nullptr);  // objectName "memory"

    // memory_by_strategy or memory_by_rank.
    void set_bars(MemoryBars bars);
    const MemoryBars& bars() const { return bars_; }
    void set_show(MemoryShow show);  // GiB, GB or percent
    MemoryShow show_as() const { return show_; }

    QString tooltip_at(const QPointF& point) const override;
    QString text() const override;

protected:
    void rebuild() override;

private:
    MemoryBars bars_;
    MemoryShow show_ = MemoryShow::binary;
};

}  // namespace shardscope::gui
