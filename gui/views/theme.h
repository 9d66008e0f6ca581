// Light and dark: every colour that is not a category's (gui/models/palette.h). Text has at least 4.5 : 1
// against what it stands on (WCAG 2.2, 1.4.3).
#pragma once

#include <QColor>
#include <QPalette>
#include <QString>
#include <optional>

#include "gui/models/palette.h"

namespace shardscope::gui {

enum class ThemeChoice { system, light, dark };

struct Theme {
    bool dark = false;
    QColor window, panel;      // behind widgets; behind charts and tables
    QColor text, muted;        // muted: subtitles, ticks
    QColor grid, frame;        // lines that say little; outlines of bars
    QColor accent, selection;  // focus, the selected row's marker; the row itself
    QColor alert;              // text and lines of what does not fit, and errors

    bool operator==(const Theme&) const = default;

    static Theme light();
    static Theme dark_theme();
    // `system` goes by the luminance of the platform's own palette.
    static Theme of(ThemeChoice choice, const QPalette& platform);

    QPalette palette() const;  // of widgets
    // Contrast of two colours, 1 to 21 (WCAG 2.2).
    static double contrast(const QColor& a, const QColor& b);
    // Black or white, whichever reads better on a bar of that colour.
    static QColor text_on(QColor fill);
};

inline QColor colour(Rgb rgb) { return QColor::fromRgb(rgb); }

// "light", "dark", "system"; empty: no such theme.
std::optional<ThemeChoice> theme_named(const QString& name);
QString theme_name(ThemeChoice choice);

}  // namespace shardscope::gui
