#include "gui/views/pdf.h"

#include <QBuffer>

namespace shardscope::gui {
namespace {

// Qt writes the time of day into the file's head and has no way to choose it. The epoch stands in its place,
// padded to the same length, as the file's table of offsets counts bytes.
void forget_time(QByteArray& pdf) {
    const QByteArray key = "/CreationDate (";
    const qsizetype from = pdf.indexOf(key);
    const qsizetype to = pdf.indexOf(')', from);
    if (from < 0 || to < 0) return;
    const qsizetype length = to + 1 - from - key.size();
    pdf.replace(from + key.size(), length,
                QByteArray("D:19700101000000Z)").leftJustified(length, ' ', true));
}

}  // namespace

QByteArray pdf_of(const QString& title, const QPageSize& page, QPageLayout::Orientation orientation,
                  const std::function<void(QPdfWriter&)>& draw) {
    QByteArray bytes;
    QBuffer buffer(&bytes);
    buffer.open(QIODevice::WriteOnly);
    {
        QPdfWriter writer(&buffer);
        writer.setTitle(title);
        writer.setCreator("shardscope-gui");
        writer.setResolution(72);
        writer.setPageSize(page);
        writer.setPageOrientation(orientation);
        writer.setPageMargins(QMarginsF(0, 0, 0, 0));
        draw(writer);
    }
    forget_time(bytes);
    return bytes;
}

}  // namespace shardscope::gui
