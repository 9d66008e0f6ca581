#include "gui/views/report_pdf.h"

#include <QSaveFile>
#include <algorithm>

#include "core/report/report_text.h"
#include "gui/views/pdf.h"
#include "gui/views/row_chart.h"

namespace shardscope::gui {
namespace {

constexpr double kPageMargin = 36, kFooter = 20;  // points of 1/72 inch
constexpr double kLeastChart = 250, kFirstOfTwo = 0.58;
constexpr int kTitleSize = 18, kTextSize = 10, kTableSize = 9, kSmallestTable = 5;

QFont font_of(int size, bool bold = false) {
    QFont font = QGuiApplication::font();
    font.setPixelSize(size);
    font.setBold(bold);
    return font;
}

// Pages one after the other, with a footer each.
class Pages {
public:
    Pages(QPdfWriter& writer, QString footer)
        : writer_(writer), painter_(&writer), footer_(std::move(footer)) {
        painter_.setMode(QCPPainter::pmVectorized);
        draw_footer();
    }

    QCPPainter& painter() { return painter_; }
    QRectF area() const {
        const QSizeF size = writer_.pageLayout().fullRect(QPageLayout::Point).size();
        return QRectF(QPointF(0, 0), size)
            .adjusted(kPageMargin, kPageMargin, -kPageMargin, -kPageMargin - kFooter);
    }
    // Where the next thing goes, from the page's top.
    double y() const { return y_; }
    void advance(double by) { y_ += by; }
    void next() {
        writer_.newPage();
        ++page_;
        y_ = kPageMargin;
        draw_footer();
    }
    // On the next page unless so much is left of this one.
    void need(double height) {
        if (y_ + height > area().bottom() && y_ > kPageMargin) next();
    }

    void text(const QString& text, const QFont& font, const QColor& colour) {
        painter_.setFont(font);
        const int flags = Qt::TextWordWrap | Qt::AlignLeft;
        const QRectF bounds = QFontMetricsF(font).boundingRect(
            QRectF(0, 0, area().width(), 10 * area().height()), flags, text);
        need(bounds.height());
        painter_.setPen(colour);
        painter_.drawText(QRectF(kPageMargin, y_, area().width(), bounds.height() + 2), flags,
                          text);
        y_ += bounds.height() + 4;
    }

private:
    void draw_footer() {
        painter_.setFont(font_of(8));
        painter_.setPen(Theme::light().muted);
        const QRectF where(kPageMargin, area().bottom() + 8, area().width(), 12);
        painter_.drawText(where, Qt::AlignLeft, footer_);
        painter_.drawText(where, Qt::AlignRight, QString("page %1").arg(page_));
    }

    QPdfWriter& writer_;
    QCPPainter painter_;
    QString footer_;
    int page_ = 1;
    double y_ = kPageMargin;
};

// A table as wide as the page: its font shrinks until its columns fit.
class Table {
public:
    Table(const QAbstractItemModel& model, double width) : model_(model) {
        for (int size = kTableSize; size >= kSmallestTable; --size) {
            font_ = font_of(size);
            bold_ = font_of(size, true);
            measure();
            if (total() <= width) break;
        }
        if (const double all = total(); all > width)
            for (double& column : widths_) column *= width / all;
    }

    void draw(Pages& pages) const {
        const double height = QFontMetricsF(font_).height() + 5;
        pages.need(2 * height);
        draw_header(pages, height);
        for (int row = 0; row < model_.rowCount(); ++row) {
            if (pages.y() + height > pages.area().bottom()) {
                pages.next();
                draw_header(pages, height);
            }
            const auto cell = [&](int column) { return model_.index(row, column); };
            draw_cells(pages, height, font_,
                       [&](int column) { return cell(column).data(Qt::DisplayRole).toString(); });
        }
        pages.advance(10);
    }

private:
    static constexpr double kGap = 10;

    void measure() {
        widths_.clear();
        const QFontMetricsF plain(font_), bold(bold_);
        for (int column = 0; column < model_.columnCount(); ++column) {
            double width = bold.horizontalAdvance(header(column));
            for (int row = 0; row < model_.rowCount(); ++row)
                width = std::max(
                    width, plain.horizontalAdvance(model_.index(row, column).data().toString()));
            widths_.push_back(width + kGap);
        }
    }

    double total() const {
        double sum = 0;
        for (const double width : widths_) sum += width;
        return sum;
    }

    QString header(int column) const {
        return model_.headerData(column, Qt::Horizontal).toString();
    }

    Qt::Alignment alignment(int column) const {
        if (model_.rowCount() == 0) return Qt::AlignLeft;
        const QVariant value = model_.index(0, column).data(Qt::TextAlignmentRole);
        const Qt::Alignment all(value.isValid() ? value.toInt() : static_cast<int>(Qt::AlignLeft));
        return all & Qt::AlignHorizontal_Mask;
    }

    void draw_header(Pages& pages, double height) const {
        draw_cells(pages, height, bold_, [&](int column) { return header(column); });
        pages.painter().setPen(QPen(Theme::light().frame, 0.75));
        pages.painter().drawLine(
            QLineF(kPageMargin, pages.y() - 1, kPageMargin + total(), pages.y() - 1));
    }

    void draw_cells(Pages& pages, double height, const QFont& font,
                    const std::function<QString(int)>& text) const {
        QCPPainter& painter = pages.painter();
        painter.setFont(font);
        painter.setPen(Theme::light().text);
        double x = kPageMargin;
        for (int column = 0; column < model_.columnCount(); ++column) {
            const double width = widths_[static_cast<std::size_t>(column)];
            const QString shown =
                QFontMetricsF(font).elidedText(text(column), Qt::ElideRight, width - kGap / 2);
            painter.drawText(QRectF(x, pages.y(), width - kGap / 2, height),
                             static_cast<int>(alignment(column) | Qt::AlignVCenter), shown);
            x += width;
        }
        pages.advance(height);
    }

    const QAbstractItemModel& model_;
    QFont font_, bold_;
    std::vector<double> widths_;
};

// Charts side by side, as high as what is left of the page. The first one has the names of the rows and
// long labels, and gets more of the width.
void draw_charts(Pages& pages, const std::vector<Chart*>& charts) {
    pages.need(kLeastChart);
    const QRectF area = pages.area().adjusted(0, pages.y() - pages.area().top(), 0, 0);
    const double gap = 12;
    std::vector<double> widths{area.width()};
    if (charts.size() == 2) {
        widths = {std::floor((area.width() - gap) * kFirstOfTwo)};
        widths.push_back(area.width() - gap - widths.front());
    }
    int header = 0;
    for (std::size_t i = 0; i < charts.size(); ++i)
        header = std::max(header, charts[i]->header_height(static_cast<int>(widths[i])));
    double x = area.left();
    for (std::size_t i = 0; i < charts.size(); ++i) {
        pages.painter().save();
        pages.painter().translate(x, area.top());
        charts[i]->draw_to(pages.painter(), QSizeF(widths[i], area.height()).toSize(),
                           Theme::light(), header);
        pages.painter().restore();
        x += widths[i] + gap;
    }
    pages.advance(area.height());
}

void draw_first_pages(Pages& pages, const ReportContents& contents) {
    const Theme theme = Theme::light();
    const Evaluation& evaluation = *contents.evaluation;
    const QString heading = QString::fromStdString(heading_text(evaluation.report));
    pages.text(QString::fromStdString(evaluation.report.scenario.name), font_of(kTitleSize, true),
               theme.text);
    // The heading begins with the name, which the title is.
    const auto name =
        static_cast<qsizetype>(QString::fromStdString(evaluation.report.scenario.name).size());
    pages.text(heading.mid(name + 2), font_of(kTextSize), theme.muted);
    pages.advance(8);
    if (contents.table != nullptr) Table(*contents.table, pages.area().width()).draw(pages);
    if (evaluation.error)
        pages.text(QString::fromUtf8(evaluation.error->what()), font_of(kTextSize), theme.alert);
    for (const QString& line :
         QString::fromStdString(remarks_text(evaluation.report)).split('\n', Qt::SkipEmptyParts))
        pages.text(line, font_of(kTextSize), line.startsWith("note: ") ? theme.text : theme.alert);
}

QByteArray report_pdf(const ReportContents& contents) {
    const Context& context = contents.evaluation->report.context;
    const QString title = QString::fromStdString(contents.evaluation->report.scenario.name);
    QString footer = "shardscope";
    if (!context.version.empty()) footer += ' ' + QString::fromStdString(context.version);
    footer += " · " + title;
    return pdf_of(title, QPageSize(QPageSize::A4), QPageLayout::Landscape, [&](QPdfWriter& writer) {
        Pages pages(writer, footer);
        draw_first_pages(pages, contents);
        for (std::size_t i = 0; i < contents.charts.size(); ++i) {
            std::vector<Chart*> page{contents.charts[i]};
            const auto* rows = dynamic_cast<RowChart*>(contents.charts[i]);
            if (rows != nullptr && i + 1 < contents.charts.size() &&
                rows->partner() == contents.charts[i + 1])
                page.push_back(contents.charts[++i]);
            draw_charts(pages, page);
        }
    });
}

}  // namespace

void write_report_pdf(const QString& path, const ReportContents& contents) {
    QSaveFile file(path);
    const auto fail = [&] {
        throw Error("output", ("cannot write " + path + ": " + file.errorString()).toStdString(),
                    "name another file", ErrorKind::io);
    };
    if (!file.open(QIODevice::WriteOnly)) fail();
    const QByteArray pdf = report_pdf(contents);
    if (file.write(pdf) != pdf.size() || !file.commit()) fail();
}

}  // namespace shardscope::gui
