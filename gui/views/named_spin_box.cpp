#include "gui/views/named_spin_box.h"

#include <QLineEdit>
#include <algorithm>

namespace shardscope::gui {

NamedSpinBox::NamedSpinBox(std::map<int, QString> words, QWidget* parent)
    : QSpinBox(parent), words_(std::move(words)) {
    lineEdit()->setText(NamedSpinBox::textFromValue(value()));  // QSpinBox has shown the number
}

void NamedSpinBox::set_unit(const QString& unit) {
    unit_ = unit;
    lineEdit()->setText(NamedSpinBox::textFromValue(value()));
    updateGeometry();
}

QString NamedSpinBox::without_unit(const QString& text) const {
    const QString typed = text.trimmed();
    for (qsizetype size = unit_.size(); size > 0; --size)
        if (typed.endsWith(unit_.first(size), Qt::CaseInsensitive))
            return typed.chopped(size).trimmed();
    return typed;
}

const std::pair<const int, QString>* NamedSpinBox::find(const QString& text) const {
    const QString typed = without_unit(text);
    const auto found = std::ranges::find_if(words_, [&](const auto& word) {
        return word.second.compare(typed, Qt::CaseInsensitive) == 0;
    });
    return found == words_.end() ? nullptr : &*found;
}

QString NamedSpinBox::textFromValue(int value) const {
    const auto word = words_.find(value);
    if (word != words_.end()) return word->second;
    const QString number = QSpinBox::textFromValue(value);
    return unit_.isEmpty() ? number : number + ' ' + unit_;
}

int NamedSpinBox::valueFromText(const QString& text) const {
    const auto* const word = find(text);
    return word == nullptr ? QSpinBox::valueFromText(without_unit(text)) : word->first;
}

QValidator::State NamedSpinBox::validate(QString& text, int& position) const {
    if (find(text) != nullptr) return QValidator::Acceptable;
    const bool begun = std::ranges::any_of(words_, [&](const auto& word) {
        return word.second.startsWith(text.trimmed(), Qt::CaseInsensitive);
    });
    if (begun) return QValidator::Intermediate;
    QString number = without_unit(text);
    return QSpinBox::validate(number, position);
}

}  // namespace shardscope::gui
