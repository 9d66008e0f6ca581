#include "gui/views/pdf.h"

#include <QBuffer>
#include <QRegularExpression>

namespace shardscope::gui {

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
    return bytes;
}

}  // namespace shardscope::gui
