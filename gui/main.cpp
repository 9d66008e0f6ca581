// shardscope-gui: the only place of the window that reads the environment and turns errors into exit
// codes, which are the command line's.
#include <QApplication>
#include <QElapsedTimer>
#include <QFile>
#include <QJsonDocument>
#include <QLoggingCategory>
#include <QStyleFactory>
#include <QTimer>
#include <cstdio>
#include <exception>
#include <filesystem>

#include "gui/views/headless.h"
#include "gui/views/main_window.h"
#include "gui/views/options.h"
#include "gui/views/performance.h"
#include "gui/views/widget_dump.h"

namespace {

using namespace shardscope;
using namespace shardscope::gui;

// $XDG_CACHE_HOME or ~/.cache, as the command line has it.
std::string calibration_file() {
    QString folder = qEnvironmentVariable("XDG_CACHE_HOME");
    if (!folder.startsWith('/')) {
        folder = qEnvironmentVariable("HOME");
        if (folder.isEmpty()) return "";
        folder += "/.cache";
    }
    return (folder + "/shardscope/this-machine.yaml").toStdString();
}

// The command line lies beside this program.
QString command_line_program() {
    std::error_code unreadable;
    const auto self = std::filesystem::read_symlink("/proc/self/exe", unreadable);
    return QString::fromStdString((self.parent_path() / "shardscope").string());
}

Session::Options session_options() {
    Session::Options options;
    options.machine = describe_machine();
    options.parse = {calibration_file(), options.machine.cores, options.machine.memory};
    options.program = command_line_program();
    return options;
}

// Pictures are made, and tests run, where there is no display.
void choose_platform(const Options& options) {
    const bool display =
        qEnvironmentVariableIsSet("DISPLAY") || qEnvironmentVariableIsSet("WAYLAND_DISPLAY");
    if (options.headless() || (!display && !qEnvironmentVariableIsSet("QT_QPA_PLATFORM")))
        qputenv("QT_QPA_PLATFORM", "offscreen");
}

// Qt's remarks about the platform are nobody's concern where files are written; ours go another way.
void drop_remarks(QtMsgType type, const QMessageLogContext&, const QString& text) {
    if (type == QtCriticalMsg || type == QtFatalMsg) std::fprintf(stderr, "%s\n", qPrintable(text));
}

// The same pictures everywhere: one style, and one font where no window system chooses it.
void choose_looks(const Options& options) {
    QApplication::setStyle(QStyleFactory::create("Fusion"));
    if (!options.headless()) return;
    QFont font("DejaVu Sans");
    font.setPixelSize(12);
    QApplication::setFont(font);
}

void open_all(const Options& options, Workspace& workspace) {
    workspace.open_first();
    for (const QString& file : options.files) workspace.open(file);
}

int show_window(const Options& options, Workspace& workspace, const QPalette& platform,
                const QElapsedTimer& since_start) {
    QSettings settings("shardscope", "shardscope-gui");
    MainWindow window(workspace, &settings, platform);
    if (options.theme) window.set_theme(*options.theme);
    if (!options.size.isEmpty()) window.resize(options.size);
    QObject::connect(
        &window.charts().memory(), &Chart::painted, &window,
        [&] {
            window.performance().started(static_cast<double>(since_start.nsecsElapsed()) / 1e6);
        },
        Qt::SingleShotConnection);
    window.show();
    std::unique_ptr<WidgetDump> dump;
    if (!options.widgets.isEmpty())
        dump = std::make_unique<WidgetDump>(options.widgets, window, workspace);
    if (!options.perf.isEmpty()) window.performance().watch_event_loop();
    if (options.select > 0) workspace.session().select(options.select - 1);
    // What a practitioner would try takes a moment; so the search is not empty when one looks at it.
    QTimer::singleShot(0, &window, [&] { window.search_usual(); });
    const int exit_code = QApplication::exec();
    if (!options.perf.isEmpty()) {
        QFile file(options.perf);
        if (!file.open(QIODevice::WriteOnly))
            throw Error("output", "cannot write " + options.perf.toStdString(), "name another file",
                        ErrorKind::io);
        file.write(QJsonDocument(window.performance().json()).toJson());
    }
    return exit_code;
}

int run(int argc, char** argv) {
    QElapsedTimer since_start;
    since_start.start();
    QStringList words;
    for (int i = 0; i < argc; ++i) words << QString::fromLocal8Bit(argv[i]);
    const Options options = gui::parse_options(words);
    if (options.done) return 0;
    choose_platform(options);
    // Charts that have no size yet say so.
    QLoggingCategory::setFilterRules("default.debug=false");
    if (options.headless()) qInstallMessageHandler(drop_remarks);
    QLocale::setDefault(QLocale::c());
    QApplication application(argc, argv);
    QApplication::setApplicationName("shardscope-gui");
    choose_looks(options);
    const QPalette platform = QApplication::palette();
    Workspace workspace(session_options());
    open_all(options, workspace);
    return options.headless() ? write_files(options, workspace, platform)
                              : show_window(options, workspace, platform, since_start);
}

int report_error(const char* text, int exit_code) {
    std::fprintf(stderr, "shardscope-gui: %s\n", text);
    return exit_code;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const Error& error) {
        return report_error(error.what(), error.exit_code());
    } catch (const std::bad_alloc&) {
        return report_error("out-of-memory: this machine has too little memory for that", 1);
    } catch (const std::exception& error) {
        return report_error((std::string("internal: ") + error.what()).c_str(), 1);
    }
}
