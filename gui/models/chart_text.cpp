#include "gui/models/chart_text.h"

#include <QLocale>
#include <QRegularExpression>
#include <cmath>

#include "core/report/figures.h"

namespace shardscope::gui {

QString decimal(double value, int decimals, bool plus) {
    QString text = QLocale::c().toString(std::abs(value), 'f', decimals);
    // What rounds to zero has no sign.
    const bool zero = text.toDouble() == 0;
    if (value < 0 && !zero) return "−" + text;
    return plus && !zero ? "+" + text : text;
}

QString deviation_text(double error) {
    return std::isfinite(error) ? decimal(100 * error, 1, true) + " %" : QString();
}

std::string cell_or_unknown(const QString& text) {
    return text.isEmpty() ? kUnknown : text.toStdString();
}

QString short_message(const Error& error, const Scenario& scenario) {
    QString message = QString::fromStdString(error.message);
    const QString file = QString::fromStdString(scenario.file) + ":";
    if (!scenario.file.empty() && message.startsWith(file)) {
        static const QRegularExpression kPlace("^\\d+:\\d+: ");
        message.remove(0, file.size()).remove(kPlace);
    }
    return QString::fromStdString(error.rule) + ": " + message;
}

}  // namespace shardscope::gui
