// PDF files that do not know when they were made: the same pages give the same bytes.
#pragma once

#include <QByteArray>
#include <QPageLayout>
#include <QPageSize>
#include <QPdfWriter>
#include <functional>

namespace shardscope::gui {

// What `draw` paints, in points of 1/72 inch, without margins.
QByteArray pdf_of(const QString& title, const QPageSize& page, QPageLayout::Orientation orientation,
                  const std::function<void(QPdfWriter&)>& draw);

}  // namespace shardscope::gui
