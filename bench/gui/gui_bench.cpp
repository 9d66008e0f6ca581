// What the window costs the thread that draws it: frames of its charts, an edit, and how long its event loop stands
// still while a search's points arrive. Each has a target; the program ends with 1 when one is missed.
//
//   gui_bench [--benchmark_filter=REGEX] [any option of Google Benchmark]
//
// Times that count are processor time of the window's thread, so that neither the simulation in other threads nor other
// programs are in them; the gap of the event loop, as the best of three, and how long a cancelled search takes to
// end are by the clock.
#include <QApplication>
#include <QElapsedTimer>
#include <QSlider>
#include <QTimer>
#include <QWheelEvent>
#include <algorithm>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <thread>

#include <benchmark/benchmark.h>

#include "gui/session/search_task.h"
#include "gui/views/main_window.h"
#include "gui/views/search_chart.h"
#include "gui/views/timeline_chart.h"
#include "tests/gui/support/application.h"
#include "tests/gui/support/points.h"
#include "tests/gui/support/step.h"
#include "tests/gui/views/bar_charts.h"

namespace shardscope::gui {
namespace {

using namespace std::chrono_literals;

constexpr const char* kTarget = "target_ms";       // of processor time per iteration
constexpr const char* kMeasured = "measured_ms";   // compared with the target in place of the time
constexpr const char* kMegabytes = "resident_MB";  // 10^6 bytes
constexpr double kMostMegabytes = 100;
constexpr double kFrame = 50;  // ms: what the window may stand still

// Processor time of this thread.
double thread_ms() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) * 1e-6;
}

double resident_mb() {
    std::ifstream status("/proc/self/statm");
    std::int64_t pages = 0, resident = 0;
    status >> pages >> resident;
    return static_cast<double>(resident) * 4096e-6;
}

// Memory and step-time charts side by side, measurements shown beside predictions.
void bars(benchmark::State& state) {
    MemoryChart memory;
    StepChart time;
    memory.align_with(&time);
    const MemoryBars memory_bars = test::measured_memory();
    const StepBars time_bars = test::measured_time();
    memory.set_bars(memory_bars);
    time.set_bars(time_bars);
    test::show(memory, {520, 320});
    test::show(time, {300, 320});
    for (auto _ : state) {
        memory.set_bars(memory_bars);
        time.set_bars(time_bars);
        memory.replot(QCustomPlot::rpImmediateRefresh);
        time.replot(QCustomPlot::rpImmediateRefresh);
    }
    state.counters[kTarget] = 10;
}
BENCHMARK(bars)->Unit(benchmark::kMillisecond);

struct MillionPoints {
    SearchMap map;
    SearchChart chart;
    std::vector<SearchPoint> more;

    MillionPoints() {
        const Evaluation& evaluation = test::comparison();
        const Scenario& scenario = evaluation.report.scenario;
        const auto list = std::make_shared<const CandidateList>(
            scenario, *evaluation.model, SearchSpace::usual(scenario, *evaluation.model));
        map.reset(list, scenario.cluster.device.memory);
        map.add(test::random_points(1'000'000, list->size(), map.capacity()));
        more = test::random_points(2'000, list->size(), map.capacity());
        chart.resize(500, 360);
        chart.set_map(&map);
        chart.set_evaluation({std::shared_ptr<void>(), &evaluation});
        chart.set_theme(Theme::light());
        chart.show();
        chart.replot(QCustomPlot::rpImmediateRefresh);
    }
};

void points_arrive(benchmark::State& state) {
    MillionPoints window;
    double fastest = 1e9;
    for (auto _ : state) {
        window.map.add(window.more);
        const double begin = thread_ms();
        window.chart.update_points();
        window.chart.replot(QCustomPlot::rpImmediateRefresh);
        fastest = std::min(fastest, thread_ms() - begin);
    }
    state.counters[kMeasured] = fastest;
    state.counters[kTarget] = 25;
}
BENCHMARK(points_arrive)->Unit(benchmark::kMillisecond)->Iterations(5);

// Counts all points again.
void zoom_into_points(benchmark::State& state) {
    MillionPoints window;
    const QPointF at(250, 180);
    int steps = 120;
    for (auto _ : state) {
        QWheelEvent event(at, window.chart.mapToGlobal(at), {}, QPoint(0, steps), Qt::NoButton, {},
                          Qt::NoScrollPhase, false);
        QCoreApplication::sendEvent(&window.chart, &event);
        window.chart.replot(QCustomPlot::rpImmediateRefresh);
        steps = -steps;
    }
    state.counters[kTarget] = kFrame;
}
BENCHMARK(zoom_into_points)->Unit(benchmark::kMillisecond);

// Llama 3 70B on a pipeline of four stages, with so many micro-batches that there are a million spans. Made once.
struct MillionSpans {
    TimelineChart chart;
    double resident = 0;

    MillionSpans() {
        chart.resize(1400, 320);
        chart.set_theme(Theme::light());
        chart.show();
        chart.set_detail(test::step_of("llama-3-70b-trace", "3d").detail);
        chart.replot(QCustomPlot::rpImmediateRefresh);
        Scenario scenario = test::scenario_of("llama-3-70b-trace");
        scenario.training.global_batch = 260;
        const double before = resident_mb();
        chart.set_detail(test::simulate_step_of(scenario, "3d").detail);
        chart.replot(QCustomPlot::rpImmediateRefresh);
        resident = resident_mb() - before;
    }
};

MillionSpans& million_spans() {
    static auto* const spans = new MillionSpans;  // ends with the process, as the application does
    return *spans;
}

// Arguments: every stream by itself or not, and the part of the step that is shown, as 1/part of it.
void timeline(benchmark::State& state) {
    MillionSpans& window = million_spans();
    const Timeline& all = *window.chart.detail()->timeline;
    if (all.events() < 1'000'000)
        return state.SkipWithError("the step has less than a million spans");
    window.chart.set_expanded(state.range(0) != 0);
    const std::int64_t length = std::max<std::int64_t>(2000, all.end() / state.range(1));
    const std::int64_t start = state.range(1) == 1 ? 0 : all.end() / 7;
    for (auto _ : state) {
        window.chart.show_range({start, start + length});
        window.chart.replot(QCustomPlot::rpImmediateRefresh);
    }
    state.counters[kTarget] = kFrame;
    state.counters[kMegabytes] = window.resident;
    state.counters["spans"] = static_cast<double>(all.events());
}
BENCHMARK(timeline)
    ->ArgNames({"streams", "part"})
    ->ArgsProduct({{0, 1}, benchmark::CreateRange(1, 1 << 18, 8)})
    ->Unit(benchmark::kMillisecond);

void timeline_totals(benchmark::State& state) {
    MillionSpans& window = million_spans();
    const std::int64_t end = window.chart.detail()->timeline->end();
    for (auto _ : state) window.chart.select_range({end / 5, end * 4 / 5});
    state.counters[kTarget] = kFrame;
}
BENCHMARK(timeline_totals)->Unit(benchmark::kMillisecond);

// Until nothing is left to lay out and to paint.
void paint_all() {
    for (int i = 0; i < 4; ++i) QApplication::processEvents();
}

// A move of the sequence slider: forms, table and charts, once it has moved and once its figures are there.
void slider(benchmark::State& state) {
    Session::Options options;
    options.machine.cores = 2;
    options.parse.cores = 2;
    Workspace workspace(options);
    workspace.open_first();
    workspace.session().wait();
    MainWindow window(workspace, nullptr, QPalette());
    window.show();
    window.search_usual();
    constexpr std::uint64_t kCandidates = 500;  // a search's points: a second's work
    while (workspace.search().running() && workspace.search().evaluated() < kCandidates)
        QApplication::processEvents(QEventLoop::WaitForMoreEvents);
    workspace.search().cancel();
    paint_all();
    auto* const sequence = window.findChild<QSlider*>("sequence_slider");
    if (!sequence) return state.SkipWithError("the window has no sequence_slider");

    const auto shown = [&] {
        const auto& detail = workspace.session().detail();
        return detail && detail->revision == workspace.document().revision();
    };
    int i = 0;
    for (auto _ : state) {
        sequence->setValue(i % 2 == 0 ? 16 + i % 8 : 8 + i % 6);
        paint_all();
        while (!shown()) QApplication::processEvents(QEventLoop::WaitForMoreEvents);
        paint_all();
        ++i;
    }
    state.counters[kTarget] = 40;
}
BENCHMARK(slider)->Unit(benchmark::kMillisecond)->Iterations(30);

// The longest time for which the event loop did not come round.
class GapWatch {
public:
    GapWatch() {
        timer_.setInterval(1);
        timer_.setTimerType(Qt::PreciseTimer);
        QObject::connect(&timer_, &QTimer::timeout,
                         [this] { longest_ = std::max(longest_, clock_.restart()); });
        clock_.start();
        timer_.start();
    }
    qint64 longest() const { return longest_; }

private:
    QTimer timer_;
    QElapsedTimer clock_;
    qint64 longest_ = 0;
};

// As fast as can be: what remains is what the window's thread does with the points.
class InstantPlanner : public Planner {
public:
    explicit InstantPlanner(std::size_t points) : points_(points) {}
    void search(const Scenario&, const std::shared_ptr<const Model>&,
                const CandidateList& candidates, const SearchOptions& options) const override {
        constexpr std::size_t kPortion = 5'000;
        for (std::size_t done = 0; done < points_; done += kPortion) {
            SearchIncrement increment;
            increment.points =
                test::random_points(kPortion, candidates.size(), Bytes(std::int64_t{79} << 30));
            increment.evaluated = done + kPortion;
            increment.candidates = candidates.size();
            options.on_increment(std::move(increment));
            std::this_thread::sleep_for(10ms);
        }
    }

private:
    std::size_t points_;
};

template <class Search>
void event_loop(benchmark::State& state, Search&& search) {
    qint64 best = 1'000'000;
    for (auto _ : state) {
        const GapWatch watch;
        search();
        best = std::min(best, watch.longest());
    }
    state.counters[kMeasured] = static_cast<double>(best);
    state.counters[kTarget] = kFrame;
}

void hundred_thousand_points(benchmark::State& state) {
    const Evaluation& evaluation = test::comparison();
    event_loop(state, [&] {
        SearchTask task(std::make_shared<const InstantPlanner>(100'000), 1);
        task.start(evaluation.report.scenario, evaluation.model, SearchExtent::thorough, 1);
        task.wait();
    });
}
BENCHMARK(hundred_thousand_points)->Unit(benchmark::kMillisecond)->Iterations(3);

void candidates_are_simulated(benchmark::State& state) {
    const Evaluation& evaluation = test::comparison();
    event_loop(state, [&] {
        SearchTask task;
        task.start(evaluation.report.scenario, evaluation.model, SearchExtent::thorough, 1);
        QEventLoop loop;
        QTimer::singleShot(2'000, &loop, &QEventLoop::quit);
        loop.exec();
        if (task.candidates() < 100'000 || task.map().empty())
            state.SkipWithError("fewer than 100,000 candidates, or none simulated in two seconds");
        task.cancel();
    });
}
BENCHMARK(candidates_are_simulated)->Unit(benchmark::kMillisecond)->Iterations(3);

// Until the search has ended, with two threads in the midst of candidates.
void cancel(benchmark::State& state) {
    const Evaluation& evaluation = test::comparison();
    double longest = 0;
    for (auto _ : state) {
        SearchTask task(2);
        task.start(evaluation.report.scenario, evaluation.model, SearchExtent::thorough, 1);
        while (task.running() && task.map().points().size() < 10)
            QApplication::processEvents(QEventLoop::WaitForMoreEvents);
        QElapsedTimer timer;
        timer.start();
        task.cancel();
        longest = std::max(longest, static_cast<double>(timer.nsecsElapsed()) * 1e-6);
    }
    state.counters[kMeasured] = longest;
    state.counters[kTarget] = 200;
}
BENCHMARK(cancel)->Unit(benchmark::kMillisecond)->Iterations(3);

// The usual table, and which runs missed their target or did not run.
class TargetReporter : public benchmark::ConsoleReporter {
public:
    void ReportRuns(const std::vector<Run>& runs) override {
        ConsoleReporter::ReportRuns(runs);
        for (const Run& run : runs) check(run);
    }
    const std::vector<std::string>& misses() const { return misses_; }

private:
    void check(const Run& run) {
        const std::string name = run.benchmark_name();
        if (run.error_occurred) misses_.push_back(name + ": " + run.error_message);
        const auto value = [&](const char* counter) -> std::optional<double> {
            const auto found = run.counters.find(counter);
            if (found == run.counters.end()) return std::nullopt;
            return found->second.value;
        };
        const std::optional<double> target = value(kTarget);
        if (run.run_type != Run::RT_Iteration || !target) return;
        const double time = value(kMeasured).value_or(run.GetAdjustedCPUTime());
        if (time > *target) misses_.push_back(name + ": " + std::to_string(time) + " ms");
        if (const auto mb = value(kMegabytes); mb && *mb > kMostMegabytes)
            misses_.push_back(name + ": " + std::to_string(*mb) + " MB");
    }

    std::vector<std::string> misses_;
};

int run(int argc, char** argv) {
    const test::OffscreenApplication application(argc, argv);
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    TargetReporter reporter;
    benchmark::RunSpecifiedBenchmarks(&reporter);
    for (const std::string& miss : reporter.misses())
        std::fprintf(stderr, "target missed: %s\n", miss.c_str());
    return reporter.misses().empty() ? 0 : 1;
}

}  // namespace
}  // namespace shardscope::gui

int main(int argc, char** argv) { return shardscope::gui::run(argc, argv); }
