// What the window shows, without the window: the document, what the simulator says of it, what was
// measured, the search, and a run in progress. Qt Core only; lives in the window's thread.
#pragma once

#include <QObject>
#include <memory>

#include "core/machine.h"
#include "gui/models/document.h"
#include "gui/models/evaluation.h"

namespace shardscope::gui {

class Evaluator;

class Session : public QObject {
    Q_OBJECT

public:
    struct Options {
        ParseOptions parse;
        Machine machine;
        QString program;  // the command line's, for real runs; may not exist
    };
    explicit Session(Options options, QObject* parent = nullptr);
    ~Session() override;

    Document& document() { return document_; }
    const Document& document() const { return document_; }
    const Options& options() const { return options_; }

    // The newest evaluation; null before the first.
    const std::shared_ptr<const Evaluation>& evaluation() const { return evaluation_; }
    // Whether it is of the document as it is now.
    bool up_to_date() const;
    // The report of a row of the document, and null while there is none.
    const StrategyReport* strategy_report(int row) const;

    // The one selected strategy, which all views show; −1: there is none.
    int selected() const { return selected_; }
    void select(int row);
    // Of the selected strategy; null while it is not known, and for one that cannot be simulated.
    const std::shared_ptr<const StepDetail>& detail() const { return detail_; }
    // Why there is no detail although the strategy was simulated.
    const std::optional<Error>& detail_error() const { return detail_error_; }

    // Returns when evaluation and detail are those of the document: for headless use and tests.
    void wait();

signals:
    void evaluated();
    void detail_changed();
    void selected_changed(int row);
    void pending();  // an evaluation has begun that is not there yet

private:
    void follow_document();
    void request();
    void take();  // what the evaluator has ready

    Options options_;
    Document document_;
    std::unique_ptr<Evaluator> evaluator_;
    std::shared_ptr<const Evaluation> evaluation_;
    std::shared_ptr<const StepDetail> detail_;
    std::optional<Error> detail_error_;
    int selected_ = -1;
};

}  // namespace shardscope::gui
