#include "gui/views/timeline_chart.h"

#include <gtest/gtest.h>

#include "tests/gui/support/step.h"

namespace shardscope::gui {
namespace {
TEST(Pictures, Make) {
    for (const char* strategy : {"TP4 × PP4", "ZeRO-3", "DDP"})
        for (const bool dark : {false, true}) {
            TimelineChart chart;
            chart.set_detail(test::step_of("gpt-13b-16-gpus", strategy).detail);
            chart.image({1060, 290}, 1, dark ? Theme::dark_theme() : Theme::light())
                .save(QString("/tmp/wtd_%1_%2.png").arg(strategy[0]).arg(dark));
        }
}
}  // namespace
}  // namespace shardscope::gui
