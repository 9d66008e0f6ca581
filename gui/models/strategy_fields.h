// What of a strategy the window's form shows and changes, a row per field: a new one is a row more here. Needs no
// window.
#pragma once

#include <QString>
#include <QStringList>
#include <map>
#include <vector>

#include "core/strategy/strategy.h"

namespace shardscope::gui {

struct StrategyField {
    enum class Kind {
        number,  // `least` … `most`
        choice,  // an index of `choices`
        flag,    // 0 or 1; `choices` is the one text beside the box
    } kind;
    QString name;   // as scenarios and error_field say it, where they do; the control's object name
    QString noun;   // the list of edits says "set" and this
    QString label;  // & before its letter on the keyboard, where it has one
    QString hint;
    int (*value)(const Strategy&);
    void (*set)(Strategy&, int);
    QStringList choices{};
    int least = 0, most = 0;
    QString unit{};                              // of a number
    std::map<int, QString> words{};              // numbers that mean something else
    bool (*applies)(const Strategy&) = nullptr;  // whether it can be changed; null: always
    bool beside = false;                         // the field before it, in one row
};

// What the form always shows.
std::vector<StrategyField> usual_fields();
// What it shows when asked: context and expert parallelism, groups of shards, overlap, offload, ZeRO++.
std::vector<StrategyField> more_fields();

// How many of the fields are not as a new strategy has them.
int fields_set(const std::vector<StrategyField>& fields, const Strategy& strategy);

}  // namespace shardscope::gui
