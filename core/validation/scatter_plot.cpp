#include "core/validation/scatter_plot.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

namespace shardscope {
namespace {

// Okabe and Ito's, as in the window's charts (gui/models/palette.h), without yellow, which white swallows.
constexpr auto kColours = std::to_array<std::string_view>(
    {"#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#6E6E6E"});
constexpr std::size_t kShapes = 4;  // circle, square, triangle, diamond

// Pixels.
constexpr double kSide = 460, kLeft = 70, kTop = 44, kBottom = 60, kGap = 90, kLegend = 190;
constexpr double kMark = 3.6;  // radius of a mark

struct Point {
    std::string title;
    double measured = 0, predicted = 0;
    std::size_t family = 0;
};

struct Panel {
    std::string title, unit;
    std::vector<Point> points;
    double low = 1, high = 10;  // of both axes
};

std::string xml_escaped(std::string_view text) {
    std::string result;
    for (const char c : text) {
        if (c == '&')
            result += "&amp;";
        else if (c == '<')
            result += "&lt;";
        else if (c == '>')
            result += "&gt;";
        else if (c == '"')
            result += "&quot;";
        else
            result += c;
    }
    return result;
}

std::vector<std::string> families_of(const Validation& validation) {
    std::vector<std::string> families;
    for (const ValidatedRun& run : validation.runs)
        if ((run.has_time() || run.has_memory()) &&
            std::find(families.begin(), families.end(), run.run.family) == families.end())
            families.push_back(run.run.family);
    return families;
}

// From a tenth below the least to a tenth above the largest value; of both axes, so that the diagonal is one.
void set_range(Panel& panel) {
    constexpr double kMargin = 1.15;
    if (panel.points.empty()) return;
    double low = panel.points.front().measured, high = low;
    for (const Point& point : panel.points) {
        low = std::min({low, point.measured, point.predicted});
        high = std::max({high, point.measured, point.predicted});
    }
    panel.low = low / kMargin;
    panel.high = high * kMargin;
}

Panel time_panel(const Validation& validation, const std::vector<std::string>& families) {
    Panel panel{"Step time", "s", {}};
    for (const ValidatedRun& run : validation.runs) {
        if (!run.has_time()) continue;
        const auto family = std::find(families.begin(), families.end(), run.run.family);
        const double measured = *run.run.measured_step_time();
        const double predicted = run.prediction.time.wall.value;
        panel.points.push_back({fmt::format("{}: predicted {:.4g} s, measured {:.4g} s", run.run.id,
                                            predicted, measured),
                                measured, predicted,
                                static_cast<std::size_t>(family - families.begin())});
    }
    set_range(panel);
    return panel;
}

Panel memory_panel(const Validation& validation, const std::vector<std::string>& families) {
    Panel panel{"Peak memory", "GiB", {}};
    for (const ValidatedRun& run : validation.runs) {
        if (!run.has_memory()) continue;
        const auto family = std::find(families.begin(), families.end(), run.run.family);
        const double predicted = gib(*run.prediction.peak), measured = *run.run.peak_memory_gib;
        panel.points.push_back({fmt::format("{}: predicted {:.4g} GiB, measured {:.4g} GiB ({})",
                                            run.run.id, predicted, measured, run.memory_kind()),
                                measured, predicted,
                                static_cast<std::size_t>(family - families.begin())});
    }
    set_range(panel);
    return panel;
}

std::string text_at(double x, double y, std::string_view anchor, int size, std::string_view text) {
    return fmt::format(
        "<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" font-size=\"{}\">{}</text>\n", x, y,
        anchor, size, xml_escaped(text));
}

std::string mark(double x, double y, std::size_t family) {
    const std::string_view colour = kColours[family % kColours.size()];
    const std::string style = fmt::format(
        "fill=\"{0}\" fill-opacity=\"0.55\" stroke=\"{0}\" stroke-width=\"0.8\"", colour);
    const double r = kMark;
    std::string outline;
    switch (family / kColours.size() % kShapes) {
        case 0:
            outline = fmt::format("M{:.1f} {:.1f}a{} {} 0 1 0 {} 0a{} {} 0 1 0 {} 0", x - r, y, r,
                                  r, 2 * r, r, r, -2 * r);
            break;
        case 1:
            outline = fmt::format("M{:.1f} {:.1f}h{}v{}h{}", x - r, y - r, 2 * r, 2 * r, -2 * r);
            break;
        case 2:
            outline = fmt::format("M{:.1f} {:.1f}l{} {}h{}", x, y - r, r, 2 * r, -2 * r);
            break;
        default:
            outline =
                fmt::format("M{:.1f} {:.1f}l{} {}l{} {}l{} {}", x, y - r, r, r, -r, r, -r, -r);
    }
    return fmt::format("<path d=\"{}z\" {}", outline, style);
}

// Draws one panel whose plot begins at (left, kTop).
class PanelDrawing {
public:
    PanelDrawing(const Panel& panel, double left) : panel_(panel), left_(left) {}

    std::string to_svg() const {
        std::string svg = text_at(left_ + kSide / 2, kTop - 16, "middle", 15,
                                  fmt::format("{}, {} runs", panel_.title, panel_.points.size()));
        svg += ticks();
        svg += fmt::format(
            "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{}\" height=\"{}\" fill=\"none\" "
            "stroke=\"#444444\"/>\n",
            left_, kTop, kSide, kSide);
        svg += line(1, "stroke=\"#222222\"") +
               line(1.1, "stroke=\"#888888\" stroke-dasharray=\"5 4\"") +
               line(0.9, "stroke=\"#888888\" stroke-dasharray=\"5 4\"");
        for (const Point& point : panel_.points)
            svg += fmt::format("{}><title>{}</title></path>\n",
                               mark(x(point.measured), y(point.predicted), point.family),
                               xml_escaped(point.title));
        svg += text_at(left_ + kSide / 2, kTop + kSide + 42, "middle", 13,
                       fmt::format("measured, {}", panel_.unit));
        return svg +
               fmt::format("<g transform=\"translate({:.1f} {:.1f}) rotate(-90)\">\n", left_ - 48,
                           kTop + kSide / 2) +
               text_at(0, 0, "middle", 13, fmt::format("predicted, {}", panel_.unit)) + "</g>\n";
    }

private:
    double place(double value) const {
        return kSide * std::log(value / panel_.low) / std::log(panel_.high / panel_.low);
    }
    double x(double value) const { return left_ + place(value); }
    double y(double value) const { return kTop + kSide - place(value); }

    // Where predicted is `ratio` times measured, as far as the plot goes.
    std::string line(double ratio, const char* style) const {
        const double first = std::max(panel_.low, panel_.low / ratio);
        const double last = std::min(panel_.high, panel_.high / ratio);
        return fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" {}/>\n",
                           x(first), y(first * ratio), x(last), y(last * ratio), style);
    }

    std::string ticks() const {
        std::string svg;
        const bool decades = panel_.high / panel_.low > 1000;
        for (double decade = std::pow(10, std::floor(std::log10(panel_.low))); decade < panel_.high;
             decade *= 10)
            for (const double factor : {1.0, 2.0, 5.0}) {
                const double value = factor * decade;
                if (value >= panel_.low && value <= panel_.high && (factor == 1 || !decades))
                    svg += tick(value);
            }
        return svg;
    }

    std::string tick(double value) const {
        const std::string label = fmt::format("{:g}", value);
        return fmt::format(
                   "<path d=\"M{0:.1f} {1:.1f}v{2}M{3:.1f} {4:.1f}h{5}\" stroke=\"#E2E2E2\"/>\n",
                   x(value), kTop, kSide, left_, y(value), kSide) +
               text_at(x(value), kTop + kSide + 18, "middle", 12, label) +
               text_at(left_ - 8, y(value) + 4, "end", 12, label);
    }

    const Panel& panel_;
    double left_;
};

std::string legend(const std::vector<std::string>& families, double left) {
    constexpr double kLine = 20;
    std::string svg;
    double y = kTop + 10;
    for (std::size_t i = 0; i < families.size(); ++i, y += kLine)
        svg += mark(left, y, i) + "/>\n" + text_at(left + 12, y + 4, "start", 12, families[i]);
    const auto line = [&](const char* style, const char* text) {
        svg +=
            fmt::format("<line x1=\"{0:.1f}\" y1=\"{1:.1f}\" x2=\"{2:.1f}\" y2=\"{1:.1f}\" {3}/>\n",
                        left - 6, y, left + 8, style) +
            text_at(left + 12, y + 4, "start", 12, text);
        y += kLine;
    };
    y += kLine / 2;
    line("stroke=\"#222222\"", "as measured");
    line("stroke=\"#888888\" stroke-dasharray=\"5 4\"", "10 % above, below");
    return svg;
}

}  // namespace

std::string scatter_plot(const Validation& validation) {
    const std::vector<std::string> families = families_of(validation);
    std::vector<Panel> panels{time_panel(validation, families)};
    Panel memory = memory_panel(validation, families);
    if (!memory.points.empty()) panels.push_back(std::move(memory));
    std::string body;
    double left = kLeft;
    for (const Panel& panel : panels) {
        body += PanelDrawing(panel, left).to_svg();
        left += kSide + kGap;
    }
    left += 30 - kGap;
    body += legend(families, left);
    const double width = left + kLegend, height = kTop + kSide + kBottom;
    return fmt::format(
               "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" "
               "viewBox=\"0 0 {0} {1}\" font-family=\"sans-serif\" fill=\"#222222\">\n"
               "<title>Predicted against measured: {2}</title>\n"
               "<rect width=\"{0}\" height=\"{1}\" fill=\"#FFFFFF\"/>\n",
               width, height, xml_escaped(validation.file)) +
           body + "</svg>\n";
}

}  // namespace shardscope
