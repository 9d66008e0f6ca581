// A frame in the alert colour around the field that an error concerns. An overlay, because a style sheet's
// border would take the arrows away from a spin box.
#pragma once

#include <QPointer>
#include <QWidget>

namespace shardscope::gui {

class FieldFrame : public QWidget {
    Q_OBJECT

public:
    explicit FieldFrame(QWidget* form);

    // Null: no field. The field lies in the form.
    void surround(QWidget* field, const QColor& colour);

protected:
    bool eventFilter(QObject* watched, QEvent* event) override;
    void paintEvent(QPaintEvent* event) override;

private:
    void follow();

    QPointer<QWidget> field_;
    QColor colour_;
};

}  // namespace shardscope::gui
