#include "gui/models/strategy_table.h"

#include <QAbstractItemModelTester>
#include <QMimeData>
#include <QSignalSpy>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gui/models/edits.h"
#include "gui/session/session.h"

namespace shardscope::gui {
namespace {

using testing::HasSubstr;

// Every change of the table is checked by Qt's own tester, which fails the test by qFatal.
class StrategyTableTest : public testing::Test {
protected:
    StrategyTableTest() {
        QObject::connect(&session_, &Session::evaluated,
                         [this] { table_.set_evaluation(session_.evaluation()); });
        session_.document().open(SHARDSCOPE_SOURCE_DIR "/scenarios/gpt-13b-16-gpus.yaml");
        session_.wait();
    }
    std::string cell(int row, int column, int role = Qt::DisplayRole) const {
        return table_.index(row, column).data(role).toString().toStdString();
    }
    bool set(int row, int column, const QString& text) {
        const bool done = table_.setData(table_.index(row, column), text);
        session_.wait();
        return done;
    }

    static Machine machine() {
        Machine machine;
        machine.cores = 2;
        return machine;
    }
    Session session_{{{}, machine(), {}}};
    StrategyTable table_{session_.document()};
    QAbstractItemModelTester tester_{&table_,
                                     QAbstractItemModelTester::FailureReportingMode::Fatal};
};

// The first screen's: some fit, some do not, one is invalid.
TEST_F(StrategyTableTest, PrintsTheComparison) {
    EXPECT_EQ(
        table_to_text(table_).toStdString(),
        R"(Strategy           TP  PP  DP  ZeRO  μ-batch  Recompute  Schedule  Peak GiB  Headroom  Measured  Step s  tokens/s/GPU     MFU  Verdict
-----------------  --  --  --  ----  -------  ---------  --------  --------  --------  --------  ------  ------------  ------  ----------------
DDP                 1   1  16     0        1  selective  –            216.7    −137.5         –   6.500         2,521  66.3 %  ! OOM +137.5 GiB
ZeRO-1              1   1  16     1        1  selective  –             82.0      −2.9         –   6.327         2,590  68.1 %  ! OOM +2.9 GiB
ZeRO-2              1   1  16     2        1  selective  –             60.3     +18.8         –   6.395         2,562  67.4 %  ✓ fits
ZeRO-3              1   1  16     3        1  selective  –             39.0     +40.2         –   6.594         2,485  65.4 %  ✓ fits
TP8, ZeRO-1         8   1   2     1        2  none       –             23.0     +56.1         –   8.667         1,890  49.7 %  ✓ fits
TP4 × PP4           4   4   1     0        1  none       1f1b          25.9     +53.2         –   8.090         2,025  53.3 %  ✓ fits
TP2 × PP4, ZeRO-1   2   4   2     1        1  full       1f1b          20.4     +58.7         –   9.064         1,808  47.6 %  ✓ fits
TP8 × PP3           8   3   –     0        –  none       1f1b             –         –         –       –             –       –  ✕ world-size
)");
    EXPECT_EQ(
        table_to_markdown(table_).section('\n', 1, 2).toStdString(),
        "| --- | ---: | ---: | ---: | ---: | ---: | --- | --- | ---: | ---: | ---: | ---: | ---: "
        "| ---: | --- |\n"
        "| DDP | 1 | 1 | 16 | 0 | 1 | selective | – | 216.7 | −137.5 | – | 6.500 | 2,521 | 66.3 % "
        "| ! OOM +137.5 GiB |");
}

TEST_F(StrategyTableTest, TooltipsAreExactAndErrorsWhole) {
    EXPECT_EQ(cell(1, StrategyTable::verdict, Qt::ToolTipRole),
              "! OOM, 2.9 GiB over; largest: parameters");
    EXPECT_EQ(cell(7, StrategyTable::verdict, Qt::ToolTipRole),
              std::string("✕ ") + session_.strategy_report(7)->error->what());
    const MemoryUse& memory = session_.strategy_report(2)->simulated->peak_memory();
    const std::string tooltip = cell(2, StrategyTable::peak, Qt::ToolTipRole);
    EXPECT_THAT(tooltip, HasSubstr("Optimizer states "));
    EXPECT_THAT(tooltip, HasSubstr("(" + format_count(memory.peak.value) + " bytes)"));
    EXPECT_EQ(table_.index(2, StrategyTable::peak).data(StrategyTable::value_role).toLongLong(),
              memory.peak.value);
    EXPECT_FALSE(table_.index(7, StrategyTable::peak).data(StrategyTable::value_role).isValid());
    for (int column = 0; column < StrategyTable::kColumns; ++column)
        EXPECT_FALSE(
            table_.headerData(column, Qt::Horizontal, Qt::ToolTipRole).toString().isEmpty());
}

TEST_F(StrategyTableTest, CellsTakeWordsAndNumbersAndOneStepEach) {
    struct Case {
        int column;
        const char *typed, *shown;
    };
    for (const Case& c : {Case{StrategyTable::name, " mine ", "mine"},
                          {StrategyTable::tp, "2", "2"},
                          {StrategyTable::pp, "2", "2"},
                          {StrategyTable::dp, "4", "4"},
                          {StrategyTable::dp, "auto", "4"},
                          {StrategyTable::zero, "1", "1"},
                          {StrategyTable::micro_batch, "2", "2"},
                          {StrategyTable::recompute, "every 2", "every 2"},
                          {StrategyTable::recompute, "2 of 3", "2 of 3"},
                          {StrategyTable::schedule, "1f1b v2", "1f1b v2"}}) {
        SCOPED_TRACE(c.typed);
        const Scenario before = session_.document().scenario();
        EXPECT_TRUE(set(2, c.column, c.typed));
        EXPECT_EQ(cell(2, c.column), c.shown);
        session_.document().undo();
        EXPECT_EQ(session_.document().scenario(), before);
        session_.document().redo();
    }
    EXPECT_THAT(cell(2, StrategyTable::verdict), HasSubstr("fits"));
}

TEST_F(StrategyTableTest, CellsRefuseNonsense) {
    const Scenario before = session_.document().scenario();
    for (const auto& [column, typed] : std::initializer_list<std::pair<int, const char*>>{
             {StrategyTable::name, "  "},
             {StrategyTable::name, "two\nlines"},
             {StrategyTable::tp, "0"},
             {StrategyTable::tp, "two"},
             {StrategyTable::pp, "-1"},
             {StrategyTable::pp, "1.5"},
             {StrategyTable::tp, "99999999999999999999"},
             {StrategyTable::zero, "4"},
             {StrategyTable::micro_batch, "0"},
             {StrategyTable::recompute, "every 0"},
             {StrategyTable::recompute, "0 of 3"},
             {StrategyTable::recompute, "4 of 3"},
             {StrategyTable::recompute, "some"},
             {StrategyTable::schedule, "1f1b v0"},
             {StrategyTable::schedule, "2f2b"},
             {StrategyTable::peak, "1"},
             {StrategyTable::verdict, "fits"}})
        EXPECT_FALSE(set(2, column, typed)) << typed;
    EXPECT_EQ(session_.document().scenario(), before);
    EXPECT_FALSE(session_.document().can_undo());
}

TEST_F(StrategyTableTest, RowsAreDraggedAndSelectionFollows) {
    session_.select(0);
    const std::unique_ptr<QMimeData> dragged(table_.mimeData({table_.index(0, 3)}));
    EXPECT_TRUE(table_.dropMimeData(dragged.get(), Qt::MoveAction, 3, 0, {}));
    session_.wait();
    EXPECT_EQ(cell(2, StrategyTable::name), "DDP");
    EXPECT_EQ(cell(2, StrategyTable::verdict), "! OOM +137.5 GiB");
    EXPECT_EQ(session_.selected(), 2);
    QMimeData foreign;
    foreign.setData(table_.mimeTypes().first(), "1 0");  // of another process
    EXPECT_FALSE(table_.dropMimeData(&foreign, Qt::MoveAction, 3, 0, {}));
}

TEST_F(StrategyTableTest, KeepsUpWithEveryEditOfTheList) {
    Document& document = session_.document();
    document.duplicate_strategy(5);
    EXPECT_EQ(cell(6, StrategyTable::name), "TP4 × PP4 (copy)");
    EXPECT_EQ(cell(7, StrategyTable::verdict), "✓ fits");  // a row further down than it was
    document.remove_strategy(0);
    document.move_strategy(0, 3);
    document.undo();
    document.undo();
    session_.wait();
    document.open(SHARDSCOPE_SOURCE_DIR "/scenarios/gpt2-h100.yaml");
    EXPECT_EQ(table_.rowCount(), 4);
    EXPECT_TRUE(table_.index(0, StrategyTable::peak).data(StrategyTable::stale_role).toBool());
    session_.wait();
    EXPECT_FALSE(table_.index(0, StrategyTable::peak).data(StrategyTable::stale_role).toBool());
    EXPECT_EQ(table_.headerData(StrategyTable::step, Qt::Horizontal).toString(), "Step ms");
}

// A slider that moves changes nothing of the strategies: their figures become stale, and are then replaced.
TEST_F(StrategyTableTest, TellsWhatAnEditOfTheScenarioChanges) {
    QSignalSpy changed(&table_, &QAbstractItemModel::dataChanged);
    QSignalSpy titles(&table_, &QAbstractItemModel::headerDataChanged);
    set_sequence(session_.document(), 8192);
    ASSERT_EQ(changed.size(), 1);
    EXPECT_EQ(changed[0][0].toModelIndex(), table_.index(0, StrategyTable::peak));
    EXPECT_EQ(changed[0][2].value<QList<int>>(), QList<int>{StrategyTable::stale_role});
    session_.wait();
    ASSERT_EQ(changed.size(), 2);
    EXPECT_EQ(changed[1][0].toModelIndex(), table_.index(0, 0));
    table_.set_measurements({std::nullopt});  // nothing was measured, as before
    EXPECT_EQ(changed.size(), 2);
    EXPECT_EQ(titles.size(), 0);

    session_.document().open(SHARDSCOPE_SOURCE_DIR "/scenarios/gpt2-h100.yaml");
    session_.wait();
    EXPECT_GE(titles.size(), 1);  // steps of milliseconds
}

TEST_F(StrategyTableTest, ShowsWhatWasMeasured) {
    std::vector<std::optional<MeasuredCell>> measured(3);
    measured[1] =
        MeasuredCell{Bytes(80LL << 30), Seconds(5.5), false, "report.json", 0.0432, -0.02};
    measured[2] = MeasuredCell{Bytes(50LL << 30), Seconds(5.5), true, "report.json", 0.2, 0.1};
    table_.set_measurements(measured);
    EXPECT_EQ(cell(1, StrategyTable::measured), "80.0 (+4.3 %)");
    EXPECT_EQ(cell(2, StrategyTable::measured), "50.0 (stale)");
    EXPECT_EQ(cell(0, StrategyTable::measured), "–");
    EXPECT_THAT(cell(1, StrategyTable::measured, Qt::ToolTipRole), HasSubstr("(simulated −2.0 %)"));
    EXPECT_THAT(cell(2, StrategyTable::measured, Qt::ToolTipRole), HasSubstr("stale"));
}

TEST_F(StrategyTableTest, CsvIsInFullAndItsCategoriesSumToThePeak) {
    const QString csv = strategies_to_csv(session_.document(), session_.evaluation().get(), {});
    const QStringList lines = csv.split('\n', Qt::SkipEmptyParts);
    ASSERT_EQ(lines.size(), 9);
    const QStringList header = lines[0].split(',');
    const auto peak = header.indexOf("peak_bytes");
    ASSERT_GE(peak, 0);
    EXPECT_TRUE(header.contains("step_time_s") && header.contains("runtime_bytes"));
    int summed = 0;
    for (int i = 1; i < lines.size(); ++i) {
        // Names with a comma are quoted, which shifts the fields of a plain split by one.
        const QStringList fields = lines[i].split(',');
        const auto shift = lines[i].startsWith('"') ? 1 : 0;
        const QString total = fields[peak + shift];
        if (total.isEmpty()) continue;
        qlonglong sum = 0;
        for (std::size_t c = 1; c <= kCategories; ++c)
            sum += fields[peak + shift + static_cast<qsizetype>(c)].toLongLong();
        EXPECT_EQ(sum, total.toLongLong()) << lines[i].toStdString();
        ++summed;
    }
    EXPECT_EQ(summed, 7);
    EXPECT_TRUE(lines[8].contains("world-size"));
}

}  // namespace
}  // namespace shardscope::gui
