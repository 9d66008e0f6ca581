// Reports of real runs that are open, and what they say of the strategies on the screen.
//
// A measured result answers a question: model, training, cluster and strategy (not the data, whose
// contents change neither memory nor time). It belongs to the strategy of its name; where the scenario has
// none of that name, to one with equal values, which was renamed. It is stale as soon as the question on
// the screen is another one, and then says what differs.
//
// Lists the reports as rows (newest last opened); Qt Core only; lives in the window's thread.
#pragma once

#include <QAbstractListModel>
#include <QStringList>
#include <array>
#include <limits>
#include <memory>
#include <optional>
#include <vector>

#include "core/report/report.h"
#include "gui/models/evaluation.h"
#include "gui/models/palette.h"

namespace shardscope::gui {

// predicted / measured − 1; NaN where either is not known, or nothing was measured to divide by.
constexpr double kNoError = std::numeric_limits<double>::quiet_NaN();

// What was measured of one strategy on the screen.
struct MeasuredRow {
    std::shared_ptr<const Report> report;  // owns all below
    const StrategyReport* strategy = nullptr;
    const Result* result = nullptr;  // never null: strategy->measured
    QString file, date, host, backend;

    // What the screen has otherwise: "sequence", "cluster"; empty: the same.
    QStringList differences;
    bool stale() const { return !differences.isEmpty(); }

    // Of the simulation on the screen against this result; all kNoError where it was not simulated.
    double peak_error = kNoError, step_time_error = kNoError;
    std::array<double, kCategories> category_errors{};  // of the rank with the largest peak
    std::array<double, kStepParts> part_errors{};
};

class Measurements : public QAbstractListModel {
    Q_OBJECT

public:
    enum Role { PathRole = Qt::UserRole + 1 };
    explicit Measurements(QObject* parent = nullptr);

    // Opens a report, again if it is open. Throws Error (and leaves all as it was): what load_report throws,
    // and "no-measurements" for a report without any.
    void open(const QString& path);
    void remove(int row);
    void clear();
    bool empty() const { return files_.empty(); }

    // Per strategy of the evaluation, in its order. Where several reports have one, those that are not
    // stale go first, then the newest (Context::date).
    std::vector<std::optional<MeasuredRow>> compare(const Evaluation& evaluation) const;

    int rowCount(const QModelIndex& parent = {}) const override;
    // DisplayRole "2 measured of gpt.yaml, cpu on host, date", ToolTipRole, PathRole.
    QVariant data(const QModelIndex& index, int role) const override;

signals:
    void changed();

private:
    struct File {
        QString path;
        std::shared_ptr<const Report> report;
    };
    std::optional<MeasuredRow> row_of(const Evaluation& evaluation, std::size_t strategy) const;

    std::vector<File> files_;
};

// What of the question on the screen differs from the one that was measured, in words. Neither data,
// seed, number of steps nor the optimizer's rates change memory or time; of a machine, not how fast it is
// thought to be.
QStringList differences(const Scenario& now, const Strategy& strategy, const Scenario& measured,
                        const Strategy& measured_strategy);

}  // namespace shardscope::gui
