#include <QApplication>
#include <QFont>

#include <gtest/gtest.h>

// Pictures depend on style, font and locale, so the tests choose them all.
int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    qputenv("QT_QPA_PLATFORM", "offscreen");
    QLocale::setDefault(QLocale::c());
    QApplication::setStyle("Fusion");
    const QApplication application(argc, argv);
    QFont font("DejaVu Sans");
    font.setPixelSize(12);
    QApplication::setFont(font);
    return RUN_ALL_TESTS();
}
