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
    QAbstractItemModelTester tester_{&table_, QAbstractItemModelTester::FailureReportingMode::Fatal};
};

TEST_F(StrategyTableTest, PrintsTheComparison) {
    EXPECT_EQ(table_to_text(table_).toStdString(), "");
    EXPECT_EQ(table_to_markdown(table_).section('\n', 0, 3).toStdString(), "");
}

}  // namespace
}  // namespace shardscope::gui
