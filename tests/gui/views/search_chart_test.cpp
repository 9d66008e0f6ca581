#include "gui/views/search_chart.h"

#include <QSignalSpy>
#include <QTest>
#include <QToolTip>
#include <QWheelEvent>
#include <algorithm>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gui/views/search_plot.h"
#include "tests/gui/evaluated.h"
#include "tests/gui/support/points.h"

namespace shardscope::gui {
namespace {

constexpr QSize kSearchChartSize(500, 360);

// A real search, done once; tests only read it.
struct Searched {
    SearchMap map;
    std::shared_ptr<const CandidateList> list;
    Searched() {
        const Evaluation& evaluation = test::comparison();
        const Scenario& scenario = evaluation.report.scenario;
        SearchSpace space = SearchSpace::usual(scenario, *evaluation.model);
        space.tp = {4, 8};
        space.micro_batch = {2, 4};
        list = std::make_shared<const CandidateList>(scenario, *evaluation.model, space);
        map.reset(list, scenario.cluster.device.memory);
        SearchOptions options;
        options.threads = 2;
        options.on_increment = [&](const SearchIncrement& i) { map.add(i.points); };
        ExhaustivePlanner().search(scenario, evaluation.model, *list, options);
    }
};

const Searched& search_result() {
    static const Searched result;
    return result;
}
const SearchMap& searched() { return search_result().map; }

// The same points over and over, a little apart.
SearchMap many(std::size_t count) {
    SearchMap map;
    const auto& scenario = test::comparison().report.scenario;
    map.reset(search_result().list, scenario.cluster.device.memory);
    map.add(test::random_points(count, search_result().list->size(), map.capacity()));
    return map;
}

std::shared_ptr<const Evaluation> evaluation() {
    return {std::shared_ptr<void>(), &test::comparison()};
}

// A chart of that size that is laid out.
std::unique_ptr<SearchChart> chart_of(const SearchMap* map, bool strategies = true) {
    auto chart = std::make_unique<SearchChart>();
    chart->resize(kSearchChartSize);
    chart->set_map(map);
    if (strategies) chart->set_evaluation(evaluation());
    chart->set_theme(Theme::light());
    chart->show();
    chart->replot(QCustomPlot::rpImmediateRefresh);
    return chart;
}

int pixels_of(const QImage& image, QColor colour, int tolerance = 0) {
    int count = 0;
    for (int y = 0; y < image.height(); ++y)
        for (int x = 0; x < image.width(); ++x) {
            const QColor c = image.pixelColor(x, y);
            count += std::abs(c.red() - colour.red()) <= tolerance &&
                     std::abs(c.green() - colour.green()) <= tolerance &&
                     std::abs(c.blue() - colour.blue()) <= tolerance;
        }
    return count;
}

void save(const QImage& image, const char* name) {
    if (const QByteArray folder = qgetenv("SHARDSCOPE_PICTURES"); !folder.isEmpty())
        image.save(QString::fromLocal8Bit(folder) + "/" + name + ".png");
}

TEST(SearchChart, ShowsPointsFrontierCapacityAndStrategies) {
    const auto chart = chart_of(&searched());
    chart->set_selected(2);
    chart->set_status("all candidates", "");
    for (const bool dark : {false, true}) {
        const Theme theme = dark ? Theme::dark_theme() : Theme::light();
        const QImage image = chart->image(kSearchChartSize, 1, theme);
        save(image, dark ? "search-dark" : "search-light");
        EXPECT_GT(pixels_of(image, colour(kAlertColour)), 60) << "capacity line";
        EXPECT_GT(pixels_of(image, SearchPlot::marker_colour()), 200) << "markers";
        EXPECT_GT(pixels_of(image, theme.text), 50) << "frontier and title";
    }
    EXPECT_TRUE(chart->text().contains("Strategy 1: 216.7 GiB")) << chart->text().toStdString();
    EXPECT_TRUE(chart->text().contains("does not fit"));
}

TEST(SearchChart, ManyPointsAreADensity) {
    const SearchMap map = many(200'000);
    const auto chart = chart_of(&map);
    const QImage image = chart->image(kSearchChartSize, 1, Theme::light());
    save(image, "density-light");
    save(chart->image(kSearchChartSize, 2, Theme::dark_theme()), "density-dark");
    std::set<QRgb> shades;
    for (int y = 0; y < image.height(); ++y)
        for (int x = 0; x < image.width(); ++x) shades.insert(image.pixel(x, y));
    EXPECT_GT(shades.size(), 20u);
    EXPECT_EQ(chart->image(kSearchChartSize, 1, Theme::light()), image) << "the same twice";
}

// Dots and density put a point at the same place.
TEST(SearchChart, APointIsWhereItsFiguresAre) {
    for (const std::size_t count : {std::size_t{1}, kMostDots + 1}) {
        SearchMap map;
        map.reset(search_result().list, Bytes(std::int64_t{80} << 30));
        std::vector<SearchPoint> points(count);
        for (SearchPoint& point : points) {
            point.peak = Bytes(std::int64_t{40} << 30);
            point.tokens_per_s_per_gpu = 1000;
        }
        map.add(points);
        const auto chart = chart_of(&map, false);
        const QImage image = chart->image(kSearchChartSize, 1, Theme::light());
        const QPoint at = chart->place_of(points[0].peak, 1000).toPoint();
        EXPECT_TRUE(QRect(QPoint(0, 0), kSearchChartSize).contains(at));
        EXPECT_NE(image.pixelColor(at), Theme::light().panel) << count << " points";
    }
}

TEST(SearchChart, NoFrontierPointIsRightOfTheCapacityLine) {
    const auto chart = chart_of(&searched());
    const double limit = chart->place_of(searched().capacity(), 0).x();
    ASSERT_FALSE(searched().frontier().empty());
    for (const SearchPoint& point : searched().frontier())
        EXPECT_LE(chart->place_of(point.peak, point.tokens_per_s_per_gpu).x(), limit);
}

TEST(SearchChart, HoverSaysStrategyAndExactFigures) {
    const auto chart = chart_of(&searched(), false);
    const SearchPoint best = *searched().best();
    const QPointF at = chart->place_of(best.peak, best.tokens_per_s_per_gpu);
    EXPECT_TRUE(chart->tooltip_at(at).startsWith(searched().description(best)));
    EXPECT_EQ(chart->tooltip_at(QPointF(2, 2)), "");
}

TEST(SearchChart, DoubleClickAddsExactlyThatStrategy) {
    const auto chart = chart_of(&searched(), false);
    QSignalSpy chosen(chart.get(), &SearchChart::strategy_chosen);
    std::vector<Strategy> strategies;
    QObject::connect(chart.get(), &SearchChart::strategy_chosen,
                     [&](const Strategy& s) { strategies.push_back(s); });
    const SearchPoint best = *searched().best();
    const QPoint at = chart->place_of(best.peak, best.tokens_per_s_per_gpu).toPoint();
    QTest::mouseDClick(chart.get(), Qt::LeftButton, {}, at);
    ASSERT_EQ(strategies.size(), 1u);
    EXPECT_EQ(strategies[0].name, searched().strategy(best).name);
    EXPECT_EQ(strategies[0].tp, searched().strategy(best).tp);
    QTest::mouseDClick(chart.get(), Qt::LeftButton, {}, QPoint(3, 3));
    EXPECT_EQ(strategies.size(), 1u);
}

TEST(SearchChart, ClickOnAMarkerSelectsItsRow) {
    const auto chart = chart_of(&searched());
    QSignalSpy clicked(chart.get(), &Chart::strategy_clicked);
    const auto& strategies = test::comparison().report.strategies;
    const Result& result = *strategies[3].simulated;  // ZeRO-3
    const QPointF at = chart->place_of(result.peak_memory().peak, result.tokens_per_s_per_gpu);
    EXPECT_EQ(chart->marker_at(at), 3);
    QTest::mouseClick(chart.get(), Qt::LeftButton, {}, at.toPoint());
    ASSERT_EQ(clicked.size(), 1);
    EXPECT_EQ(clicked[0][0].toInt(), 3);
    EXPECT_TRUE(chart->tooltip_at(at).startsWith("4  ZeRO-3"));
    QTest::mouseClick(chart.get(), Qt::LeftButton, {}, at.toPoint() + QPoint(0, 60));
    EXPECT_EQ(clicked.size(), 1);
}

TEST(SearchChart, KeysWalkAlongTheFrontierAndAdd) {
    const auto chart = chart_of(&searched());
    std::vector<Strategy> strategies;
    QObject::connect(chart.get(), &SearchChart::strategy_chosen,
                     [&](const Strategy& s) { strategies.push_back(s); });
    const auto frontier = searched().frontier();
    ASSERT_GE(frontier.size(), 2u);
    QTest::keyClick(chart.get(), Qt::Key_Return);
    EXPECT_TRUE(strategies.empty());
    QTest::keyClick(chart.get(), Qt::Key_Right);
    EXPECT_EQ(chart->current()->candidate, frontier.back().candidate);
    QTest::keyClick(chart.get(), Qt::Key_Left);
    EXPECT_EQ(chart->current()->candidate, frontier[frontier.size() - 2].candidate);
    QTest::keyClick(chart.get(), Qt::Key_Return);
    ASSERT_EQ(strategies.size(), 1u);
    EXPECT_EQ(strategies[0].name, searched().strategy(*chart->current()).name);
    for (std::size_t i = 0; i <= frontier.size(); ++i) QTest::keyClick(chart.get(), Qt::Key_Left);
    EXPECT_EQ(chart->current()->candidate, frontier.front().candidate);
}

void turn_wheel(SearchChart& chart, const QPointF& at, int steps) {
    QWheelEvent event(at, chart.mapToGlobal(at), {}, QPoint(0, 120 * steps), Qt::NoButton, {},
                      Qt::NoScrollPhase, false);
    QCoreApplication::sendEvent(&chart, &event);
}

TEST(SearchChart, WheelZoomsAtTheMouseAndBackspaceGoesBack) {
    const auto chart = chart_of(&searched());
    const SearchPoint best = *searched().best();
    const auto place = [&] { return chart->place_of(best.peak, best.tokens_per_s_per_gpu); };
    const QPointF whole = place();
    turn_wheel(*chart, whole, 1);
    EXPECT_LE(QLineF(place(), whole).length(), 1) << "what is under the mouse stays there";
    const QPointF origin = chart->place_of(Bytes(0), 0);
    turn_wheel(*chart, whole, 1);
    EXPECT_LT(chart->place_of(Bytes(0), 0).x(), origin.x());
    QTest::keyClick(chart.get(), Qt::Key_Backspace);
    EXPECT_EQ(chart->place_of(Bytes(0), 0), origin);
    QTest::keyClick(chart.get(), Qt::Key_F);
    EXPECT_EQ(place(), whole);
    QTest::keyClick(chart.get(), Qt::Key_Backspace);
    EXPECT_EQ(chart->place_of(Bytes(0), 0), origin) << "back from fitting, too";
    chart->update_points();
    EXPECT_EQ(chart->place_of(Bytes(0), 0), origin) << "new points do not move what was zoomed";
}

TEST(SearchChart, SaysWhyItIsEmpty) {
    const auto chart = chart_of(nullptr, false);
    chart->set_status("", "No search yet.");
    save(chart->image(kSearchChartSize, 1, Theme::light()), "search-empty");
    EXPECT_TRUE(chart->text().contains("No search yet."));
    QTest::keyClick(chart.get(), Qt::Key_Right);
    QTest::keyClick(chart.get(), Qt::Key_Return);
    QTest::mouseDClick(chart.get(), Qt::LeftButton, {}, QPoint(250, 180));
    EXPECT_FALSE(chart->current());
    chart->set_stale(true);
    EXPECT_TRUE(chart->text().contains("earlier scenario"));
}

TEST(SearchChart, FilesOfEveryFormatAreWritten) {
    const auto chart = chart_of(&searched());
    QTemporaryDir folder;
    for (const char* ending : {"png", "svg", "pdf"}) {
        const QString path = folder.filePath(QString("pareto.") + ending);
        chart->export_to(path, kSearchChartSize, 1, Theme::light());
        EXPECT_GT(QFileInfo(path).size(), 2'000) << ending;
    }
}

}  // namespace
}  // namespace shardscope::gui
