// A paint device that keeps the texts that are drawn on it, with their rectangles and colours.
#pragma once

#include <QPaintDevice>
#include <QPaintEngine>
#include <QPainter>
#include <QPainterPath>
#include <vector>

namespace shardscope::gui::test {

struct DrawnText {
    QString text;
    QRectF rect;  // of its glyphs' advance and height
    QColor colour;
};

class TextRecorder : public QPaintDevice {
public:
    explicit TextRecorder(const QSize& size) : size_(size), engine_(*this) {}

    std::vector<DrawnText> texts;

    QPaintEngine* paintEngine() const override { return &engine_; }

protected:
    int metric(PaintDeviceMetric metric) const override {
        switch (metric) {
            case PdmWidth:
                return size_.width();
            case PdmHeight:
                return size_.height();
            case PdmDepth:
                return 32;
            case PdmDevicePixelRatio:
                return 1;
            case PdmDevicePixelRatioScaled:
                return static_cast<int>(devicePixelRatioFScale());
            case PdmDpiX:
            case PdmDpiY:
            case PdmPhysicalDpiX:
            case PdmPhysicalDpiY:
                return 96;
            default:
                return QPaintDevice::metric(metric);
        }
    }

private:
    class Engine : public QPaintEngine {
    public:
        explicit Engine(TextRecorder& recorder)
            : QPaintEngine(QPaintEngine::AllFeatures), recorder_(recorder) {}
        bool begin(QPaintDevice*) override { return true; }
        bool end() override { return true; }
        void updateState(const QPaintEngineState& now) override {
            if (now.state() & QPaintEngine::DirtyPen) pen_ = now.pen();
            if (now.state() & QPaintEngine::DirtyTransform) transform_ = now.transform();
        }
        Type type() const override { return User; }
        void drawPixmap(const QRectF&, const QPixmap&, const QRectF&) override {}
        void drawPath(const QPainterPath&) override {}
        void drawPolygon(const QPointF*, int, PolygonDrawMode) override {}
        void drawTextItem(const QPointF& at, const QTextItem& item) override {
            const QRectF rect(at.x(), at.y() - item.ascent(), item.width(),
                              item.ascent() + item.descent());
            recorder_.texts.push_back({item.text(), transform_.mapRect(rect), pen_.color()});
        }

    private:
        TextRecorder& recorder_;
        QPen pen_;
        QTransform transform_;
    };

    QSize size_;
    mutable Engine engine_;
};

}  // namespace shardscope::gui::test
