// Simulates a document's strategies in a thread of its own: the latest request wins.
//
// A request that is overtaken is dropped before its next strategy, unless it began only a moment ago: so
// that a slider that moves all the time still shows something. Strategies whose values, model, training
// and cluster are those of an earlier request are not simulated again. Its functions are for one thread,
// which need not have an event loop.
#pragma once

#include <QObject>
#include <memory>
#include <optional>

#include "core/machine.h"
#include "gui/models/evaluation.h"

namespace shardscope::gui {

class Evaluator : public QObject {
    Q_OBJECT

public:
    struct Request {
        std::uint64_t revision = 0;
        Scenario scenario;
        int selected = -1;  // whose StepDetail is wanted; −1: none
    };
    // The newest of each; null before the first.
    struct Results {
        std::shared_ptr<const Evaluation> evaluation;
        // Of the selected strategy; null where it cannot be simulated.
        std::shared_ptr<const StepDetail> detail;
        std::optional<Error> detail_error;  // what went wrong with `detail` alone
    };

    // `calibration_file`: that messages name. At most machine.cores threads simulate.
    Evaluator(std::string calibration_file, Machine machine, QObject* parent = nullptr);
    ~Evaluator() override;  // waits for the strategies that are being simulated

    void request(Request request);
    Results results() const;
    // Returns when the latest request is done.
    void wait();
    // Strategies planned since the start: what reuse saves is not in it.
    std::int64_t simulated() const;

signals:
    void ready();  // results() has changed; from the worker's thread

private:
    class Worker;
    std::unique_ptr<Worker> worker_;
};

}  // namespace shardscope::gui
