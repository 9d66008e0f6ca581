// The values of a strategy as people write them into a cell, and back.
#pragma once

#include <QString>
#include <QStringList>
#include <cstdint>
#include <optional>

#include "core/strategy/strategy.h"
#include "core/yaml_reader.h"

namespace shardscope::gui {

QString text_of(std::string_view text);

QStringList recompute_words();
QString schedule_text(const Strategy& strategy);  // "1f1b", "1f1b v2"
QStringList schedule_words();

// Each leaves what it is given as it was, and says false, where the text is none of its words. Spaces
// around it do not count.
bool read_number(const QString& text, IntegerRange range, std::int64_t& to);
bool read_number(const QString& text, IntegerRange range, int& to);
bool read_recompute(const QString& text, Recompute& to);
bool read_schedule(const QString& text, Strategy& to);  // with virtual stages
bool read_name(const QString& text, std::string& to);

// "auto" is empty.
template <typename Number>
bool read_number_or_auto(const QString& text, IntegerRange range, std::optional<Number>& to) {
    if (text.trimmed() == "auto") {
        to.reset();
        return true;
    }
    Number number{};
    if (!read_number(text, range, number)) return false;
    to = number;
    return true;
}

}  // namespace shardscope::gui
