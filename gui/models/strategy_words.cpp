#include "gui/models/strategy_words.h"

#include <QRegularExpression>
#include <algorithm>

#include "core/strategy/strategy_limits.h"
#include "core/yaml_text.h"

namespace shardscope::gui {

QString text_of(std::string_view text) {
    return QString::fromUtf8(text.data(), static_cast<qsizetype>(text.size()));
}

QStringList recompute_words() {
    QStringList words;
    for (const std::string_view word : kRecomputes) words.append(text_of(word));
    return words;
}

QString schedule_text(const Strategy& strategy) {
    const QString name = text_of(schedule_name(strategy.schedule));
    return strategy.virtual_stages == 1 ? name
                                        : name + QString(" v%1").arg(strategy.virtual_stages);
}

QStringList schedule_words() {
    QStringList words;
    for (const Schedule schedule : kSchedules) words.append(text_of(schedule_name(schedule)));
    return words;
}

bool read_number(const QString& text, IntegerRange range, std::int64_t& to) {
    bool whole = false;
    const qlonglong number = text.trimmed().toLongLong(&whole);
    if (!whole || number < range.low || number > range.high) return false;
    to = number;
    return true;
}

bool read_number(const QString& text, IntegerRange range, int& to) {
    std::int64_t number = 0;
    if (!read_number(text, range, number)) return false;
    to = static_cast<int>(number);
    return true;
}

bool read_recompute(const QString& text, Recompute& to) {
    const QString word = text.trimmed();
    if (word.startsWith("every ")) {
        int every = 1;
        if (!read_number(word.mid(6), kEvery, every)) return false;
        to = {Recompute::Kind::full, every};
        return true;
    }
    if (const QStringList parts = word.split(" of "); parts.size() == 2) {
        Recompute some{Recompute::Kind::full};
        if (!read_number(parts[1], kEvery, some.every)) return false;
        if (!read_number(parts[0], {1, some.every}, some.blocks)) return false;
        to = some;
        return true;
    }
    const auto found = recompute_words().indexOf(word);
    if (found < 0) return false;
    to = {static_cast<Recompute::Kind>(found), 1};
    return true;
}

bool read_schedule(const QString& text, Strategy& to) {
    static const QRegularExpression kForm("^(\\S+)(?:\\s+v(\\d+))?$");
    const auto match = kForm.match(text.trimmed());
    const auto found = schedule_words().indexOf(match.captured(1));
    int stages = 1;
    if (found < 0) return false;
    if (match.hasCaptured(2) && !read_number(match.captured(2), kVirtualStages, stages))
        return false;
    to.schedule = kSchedules[static_cast<std::size_t>(found)];
    to.virtual_stages = stages;
    return true;
}

bool read_name(const QString& text, std::string& to) {
    const std::string name = text.trimmed().toStdString();
    if (!is_name(name)) return false;
    to = name;
    return true;
}

}  // namespace shardscope::gui
