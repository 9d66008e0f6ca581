// A spin box some of whose numbers are shown, and may be typed, as words: 0 as "auto".
#pragma once

#include <QSpinBox>
#include <map>

namespace shardscope::gui {

class NamedSpinBox : public QSpinBox {
public:
    NamedSpinBox(std::map<int, QString> words, QWidget* parent);

    // Stands behind numbers, not behind words, as Qt's suffix would; may be typed or left out.
    void set_unit(const QString& unit);

protected:
    QString textFromValue(int value) const override;
    int valueFromText(const QString& text) const override;
    QValidator::State validate(QString& text, int& position) const override;

private:
    // The number that is shown as `text`, in any case.
    const std::pair<const int, QString>* find(const QString& text) const;

    QString without_unit(const QString& text) const;  // whole or begun

    std::map<int, QString> words_;
    QString unit_;
};

}  // namespace shardscope::gui
