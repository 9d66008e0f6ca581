#include "gui/views/theme.h"

#include <algorithm>
#include <cmath>

namespace shardscope::gui {
namespace {

// Relative luminance (WCAG 2.2).
double luminance(const QColor& colour) {
    const auto linear = [](double c) {
        return c <= 0.04045 ? c / 12.92 : std::pow((c + 0.055) / 1.055, 2.4);
    };
    return 0.2126 * linear(colour.redF()) + 0.7152 * linear(colour.greenF()) +
           0.0722 * linear(colour.blueF());
}

}  // namespace

Theme Theme::light() {
    Theme theme;
    theme.window = QColor(0xEF, 0xF0, 0xF3);
    theme.panel = Qt::white;
    theme.text = QColor(0x1B, 0x1D, 0x21);
    theme.muted = QColor(0x5A, 0x60, 0x6B);
    theme.grid = QColor(0xDD, 0xE0, 0xE5);
    theme.frame = QColor(0x3C, 0x40, 0x46);
    theme.accent = QColor(0x1F, 0x5F, 0xA8);
    theme.selection = QColor(0xD9, 0xE8, 0xF6);
    theme.alert = QColor(0xAC, 0x42, 0x00);
    return theme;
}

Theme Theme::dark_theme() {
    Theme theme;
    theme.dark = true;
    theme.window = QColor(0x23, 0x26, 0x2B);
    theme.panel = QColor(0x1A, 0x1C, 0x20);
    theme.text = QColor(0xE8, 0xEA, 0xED);
    theme.muted = QColor(0xA6, 0xAD, 0xB8);
    theme.grid = QColor(0x3A, 0x3F, 0x47);
    theme.frame = QColor(0xB9, 0xBE, 0xC6);
    theme.accent = QColor(0x6C, 0xB2, 0xF5);
    theme.selection = QColor(0x26, 0x3B, 0x52);
    theme.alert = QColor(0xFF, 0x8F, 0x4A);
    return theme;
}

Theme Theme::of(ThemeChoice choice, const QPalette& platform) {
    const bool dark =
        choice == ThemeChoice::dark ||
        (choice == ThemeChoice::system && luminance(platform.color(QPalette::Window)) < 0.2);
    return dark ? dark_theme() : light();
}

QPalette Theme::palette() const {
    QPalette palette;
    palette.setColor(QPalette::Window, window);
    palette.setColor(QPalette::WindowText, text);
    palette.setColor(QPalette::Base, panel);
    palette.setColor(QPalette::AlternateBase, dark ? panel.lighter(118) : panel.darker(103));
    palette.setColor(QPalette::Text, text);
    palette.setColor(QPalette::PlaceholderText, muted);
    palette.setColor(QPalette::Button, window);
    palette.setColor(QPalette::ButtonText, text);
    palette.setColor(QPalette::BrightText, alert);
    palette.setColor(QPalette::ToolTipBase, panel);
    palette.setColor(QPalette::ToolTipText, text);
    palette.setColor(QPalette::Link, accent);
    palette.setColor(QPalette::Highlight, dark ? QColor(0x2F, 0x6D, 0xA8) : accent);
    palette.setColor(QPalette::HighlightedText, Qt::white);
    for (const auto role : {QPalette::WindowText, QPalette::Text, QPalette::ButtonText})
        palette.setColor(QPalette::Disabled, role, muted);
    return palette;
}

double Theme::contrast(const QColor& a, const QColor& b) {
    const double one = luminance(a), other = luminance(b);
    return (std::max(one, other) + 0.05) / (std::min(one, other) + 0.05);
}

QColor Theme::text_on(QColor fill) {
    return contrast(fill, Qt::white) > contrast(fill, Qt::black) ? Qt::white : Qt::black;
}

std::optional<ThemeChoice> theme_named(const QString& name) {
    if (name == "system") return ThemeChoice::system;
    if (name == "light") return ThemeChoice::light;
    if (name == "dark") return ThemeChoice::dark;
    return std::nullopt;
}

QString theme_name(ThemeChoice choice) {
    switch (choice) {
        case ThemeChoice::light:
            return "light";
        case ThemeChoice::dark:
            return "dark";
        case ThemeChoice::system:
            break;
    }
    return "system";
}

}  // namespace shardscope::gui
