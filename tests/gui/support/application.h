// The application that pictures are drawn in without a display: they depend on style, font and locale.
#pragma once

#include <QApplication>
#include <QFont>
#include <QLocale>

namespace shardscope::gui::test {

class OffscreenApplication {
public:
    OffscreenApplication(int& argc, char** argv) : application_(prepared(argc), argv) {
        QFont font("DejaVu Sans");
        font.setPixelSize(12);
        QApplication::setFont(font);
    }

private:
    // What must be chosen before there is an application.
    static int& prepared(int& argc) {
        qputenv("QT_QPA_PLATFORM", "offscreen");
        QLocale::setDefault(QLocale::c());
        QApplication::setStyle("Fusion");
        return argc;
    }

    QApplication application_;
};

}  // namespace shardscope::gui::test
