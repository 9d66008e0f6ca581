// What an edit costs the window's thread: forms, table and charts, once the slider has moved and once its figures
// are there. Processor time of that thread, which simulation and other programs do not count in. The
// figures are printed; the limit is wide enough for a busy machine. Target: 10 ms.
#include <QApplication>
#include <QSlider>
#include <algorithm>
#include <cstdio>
#include <ctime>

#include <gtest/gtest.h>

#include "gui/views/main_window.h"
#include "gui/views/scenario_form.h"

namespace shardscope::gui {
namespace {

constexpr std::uint64_t kCandidates = 500;  // a search's points: a second's work
constexpr int kMoves = 30;

double thread_ms() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) * 1e-6;
}

double middle(std::vector<double> values) {
    std::nth_element(values.begin(), values.begin() + std::ssize(values) / 2, values.end());
    return values[values.size() / 2];
}

// Until nothing is left to lay out and to paint.
void paint_all() {
    for (int i = 0; i < 4; ++i) QApplication::processEvents();
}

TEST(EditTiming, AMoveOfTheSlider) {
    Session::Options options;
    options.machine.cores = 2;
    options.parse.cores = 2;
    Workspace workspace(options);
    workspace.open_first();
    workspace.session().wait();
    MainWindow window(workspace, nullptr, QPalette());
    window.show();
    window.search_usual();
    while (workspace.search().running() && workspace.search().evaluated() < kCandidates)
        QApplication::processEvents(QEventLoop::WaitForMoreEvents);
    workspace.search().cancel();
    paint_all();
    auto* const slider = window.findChild<QSlider*>("sequence_slider");
    ASSERT_NE(slider, nullptr);

    const auto shown = [&] {
        const auto& detail = workspace.session().detail();
        return detail && detail->revision == workspace.document().revision();
    };
    std::vector<double> edits, figures;
    for (int i = 0; i < kMoves; ++i) {
        const double before = thread_ms();
        slider->setValue(i % 2 == 0 ? 16 + i % 8 : 8 + i % 6);
        paint_all();
        const double edited = thread_ms();
        while (!shown()) QApplication::processEvents(QEventLoop::WaitForMoreEvents);
        paint_all();
        edits.push_back(edited - before);
        figures.push_back(thread_ms() - edited);
    }
    std::printf("the edit %.1f ms, its figures %.1f ms of the window's thread\n", middle(edits),
                middle(figures));
    EXPECT_LE(middle(edits) + middle(figures), 40);
}

}  // namespace
}  // namespace shardscope::gui
