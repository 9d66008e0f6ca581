#include "gui/session/session.h"

#include <algorithm>
#include <utility>

#include "gui/session/evaluator.h"

namespace shardscope::gui {

Session::Session(Options options, QObject* parent)
    : QObject(parent),
      options_(std::move(options)),
      document_(options_.parse),
      evaluator_(std::make_unique<Evaluator>(options_.parse.this_machine_file, options_.machine)) {
    connect(evaluator_.get(), &Evaluator::ready, this, &Session::take, Qt::QueuedConnection);
    connect(&document_, &Document::changed, this, &Session::follow_document);
    connect(&document_, &Document::opened, this, [this] { select(0); });
    connect(&document_, &Document::row_touched, this, &Session::select);
}

Session::~Session() = default;

bool Session::up_to_date() const {
    return evaluation_ && evaluation_->revision == document_.revision();
}

const StrategyReport* Session::strategy_report(int row) const {
    return report_of_row(evaluation_.get(), document_.scenario().strategies, row);
}

void Session::select(int row) {
    const int rows = static_cast<int>(document_.scenario().strategies.size());
    row = std::clamp(row, -1, rows - 1);
    if (row == selected_) return;
    selected_ = row;
    emit selected_changed(row);
    request();
}

void Session::follow_document() {
    const int rows = static_cast<int>(document_.scenario().strategies.size());
    const int row = std::min(selected_, rows - 1);
    if (row != selected_) {
        selected_ = row;
        emit selected_changed(row);
    }
    request();
}

void Session::request() {
    evaluator_->request({document_.revision(), document_.scenario(), selected_});
    emit pending();
}

void Session::take() {
    const Evaluator::Results results = evaluator_->results();
    if (results.evaluation != evaluation_) {
        evaluation_ = results.evaluation;
        emit evaluated();
    }
    const bool same_error =
        results.detail_error.has_value() == detail_error_.has_value() &&
        (!detail_error_ || std::string(detail_error_->what()) == results.detail_error->what());
    if (results.detail == detail_ && same_error) return;
    detail_ = results.detail;
    detail_error_ = results.detail_error;
    emit detail_changed();
}

void Session::wait() {
    evaluator_->wait();
    take();
}

}  // namespace shardscope::gui
