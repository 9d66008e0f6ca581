#include "gui/views/options.h"

#include <QCommandLineParser>
#include <cstdio>

#include "core/error.h"
#include "core/nearest.h"
#include "core/version.h"

namespace shardscope::gui {
namespace {

constexpr double kMostScale = 8;
constexpr int kMostPixels = 20'000;

[[noreturn]] void refuse(const QString& message, const QString& fix) {
    throw Error("usage", message.toStdString(), fix.toStdString(), ErrorKind::io);
}

QList<QCommandLineOption> all_options() {
    return {
        {"export",
         "Write a chart (.png, .svg, .pdf), the table (.csv, .md), the whole report (.pdf without "
         "--chart) or a Chrome trace (.json) and end; may be repeated.",
         "file"},
        {"chart",
         "The chart that --export writes: " + chart_names().join(", ") +
             ". For pareto, the whole report and --screenshot strategies are searched, for 20 s at "
             "most.",
         "name"},
        {"screenshot", "Write a picture of the window (.png) and end.", "file"},
        {"select", "Select a strategy, by its row (1 …).", "row"},
        {"theme", "light, dark or system.", "name"},
        {"size", "Of the window or the chart, for example 1440x900.", "WxH"},
        {"scale", "Pixels per unit of --size in pictures, for example 2.", "factor"},
        {"perf", "At the end, write how quickly the window answered (JSON).", "file"},
        {"dump-widgets",
         "Keep a file up to date with the rectangle and text of every widget (JSON), for tests.",
         "file"},
    };
}

QString nearest_option(const QString& word) {
    std::vector<std::string> names{"--help", "--version"};
    for (const QCommandLineOption& option : all_options())
        names.push_back("--" + option.names().front().toStdString());
    const std::vector<std::string_view> views(names.begin(), names.end());
    return QString::fromStdString(suggest_name("--" + word.toStdString(), views));
}

QSize read_size(const QString& text) {
    const QStringList parts = text.split('x');
    bool wide = false, high = false;
    const QSize size =
        parts.size() == 2 ? QSize(parts[0].toInt(&wide), parts[1].toInt(&high)) : QSize();
    if (!wide || !high || size.width() < 100 || size.height() < 100 || size.width() > kMostPixels ||
        size.height() > kMostPixels)
        refuse("\"" + text + "\" is no size", "write width and height, 100 to 20000, as 1440x900");
    return size;
}

double read_scale(const QString& text) {
    bool number = false;
    const double scale = text.toDouble(&number);
    if (!number || !(scale >= 0.25) || !(scale <= kMostScale))
        refuse("\"" + text + "\" is no scale", "write a number from 0.25 to 8");
    return scale;
}

void check(const Options& options) {
    if (!options.chart.isEmpty() && !chart_names().contains(options.chart)) {
        refuse("there is no chart \"" + options.chart + "\"", "use " + chart_names().join(", "));
    }
    if (!options.chart.isEmpty() && options.exported.isEmpty())
        refuse("--chart says what --export writes, but there is no --export", "add --export FILE");
    for (const QString& file : options.exported) {
        const QString ending = file.section('.', -1).toLower();
        const bool picture = ending == "png" || ending == "svg";
        const bool drawn = picture || ending == "pdf";
        if (picture && options.chart.isEmpty())
            refuse("--export " + file + " is a picture of a chart, but no chart is named",
                   "add --chart " + chart_names().join('|'));
        if (!drawn && ending != "csv" && ending != "md" && ending != "json")
            refuse("\"" + file + "\" has no ending that says what to write",
                   "use .png, .svg or .pdf with --chart, .pdf, .csv, .md or .json without");
        if (!drawn && !options.chart.isEmpty())
            refuse("--export " + file + " is no picture, but --chart names a chart",
                   "use .png, .svg or .pdf, or leave out --chart");
    }
    if (!options.screenshot.isEmpty() && !options.screenshot.endsWith(".png", Qt::CaseInsensitive))
        refuse("\"" + options.screenshot + "\" is no .png", "end the file's name in .png");
}

}  // namespace

QStringList chart_names() { return {"memory", "time", "pareto", "timeline", "ranks"}; }

Options parse_options(const QStringList& arguments) {
    QCommandLineParser parser;
    parser.setApplicationDescription(
        "Compares strategies of distributed training: memory per GPU and time per step.\n"
        "Example: shardscope-gui scenarios/gpt-13b-16-gpus.yaml --export memory.svg --chart "
        "memory");
    parser.addHelpOption();
    parser.addVersionOption();
    parser.addPositionalArgument(
        "files", "A scenario; measured reports; a DeepSpeed or Hugging Face file.", "[files…]");
    parser.addOptions(all_options());
    if (!parser.parse(arguments)) {
        const QStringList unknown = parser.unknownOptionNames();
        if (!unknown.isEmpty())
            refuse("unknown option --" + unknown.front(), nearest_option(unknown.front()));
        refuse(parser.errorText(), "see --help");
    }
    Options options;
    if (parser.isSet("help") || parser.isSet("help-all") || parser.isSet("version")) {
        const QString text = parser.isSet("version")
                                 ? QString("shardscope-gui " SHARDSCOPE_VERSION "\n")
                                 : parser.helpText();
        std::fputs(qPrintable(text), stdout);
        options.done = true;
        return options;
    }
    options.files = parser.positionalArguments();
    options.exported = parser.values("export");
    options.chart = parser.value("chart");
    options.screenshot = parser.value("screenshot");
    options.perf = parser.value("perf");
    options.widgets = parser.value("dump-widgets");
    if (parser.isSet("select")) {
        options.select = parser.value("select").toInt();
        if (options.select < 1)
            refuse("--select " + parser.value("select") + " is no row", "write 1 or more");
    }
    if (parser.isSet("theme")) {
        options.theme = theme_named(parser.value("theme"));
        if (!options.theme)
            refuse("there is no theme \"" + parser.value("theme") + "\"",
                   "use light, dark or system");
    }
    if (parser.isSet("size")) options.size = read_size(parser.value("size"));
    if (parser.isSet("scale")) options.scale = read_scale(parser.value("scale"));
    check(options);
    return options;
}

}  // namespace shardscope::gui
