#include "gui/views/named_spin_box.h"

#include <QLineEdit>
#include <algorithm>

namespace shardscope::gui {

NamedSpinBox::NamedSpinBox(std::map<int, QString> words, QWidget* parent)
    : QSpinBox(parent), words_(std::move(words)) {
    lineEdit()->setText(NamedSpinBox::textFromValue(value()));  // QSpinBox has shown the number
}

const std::pair<const int, QString>* NamedSpinBox::find(const QString& text) const {
    const QString typed = text.trimmed();
    const auto found = std::ranges::find_if(words_, [&](const auto& word) {
        return word.second.compare(typed, Qt::CaseInsensitive) == 0;
    });
    return found == words_.end() ? nullptr : &*found;
}

QString NamedSpinBox::textFromValue(int value) const {
    const auto word = words_.find(value);
    return word == words_.end() ? QSpinBox::textFromValue(value) : word->second;
}

int NamedSpinBox::valueFromText(const QString& text) const {
    const auto* const word = find(text);
    return word == nullptr ? QSpinBox::valueFromText(text) : word->first;
}

QValidator::State NamedSpinBox::validate(QString& text, int& position) const {
    if (find(text) != nullptr) return QValidator::Acceptable;
    const bool begun = std::ranges::any_of(words_, [&](const auto& word) {
        return word.second.startsWith(text.trimmed(), Qt::CaseInsensitive);
    });
    return begun ? QValidator::Intermediate : QSpinBox::validate(text, position);
}

}  // namespace shardscope::gui
