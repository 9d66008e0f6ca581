#include "gui/session/run_events.h"

#include <QJsonArray>
#include <QJsonDocument>
#include <QJsonObject>
#include <limits>

#include <fmt/format.h>

#include "core/yaml_text.h"

namespace shardscope::gui {
namespace {

// What an event must have; a fault in it is told with the line.
class EventFields {
public:
    EventFields(QJsonObject object, const QByteArray& line)
        : object_(std::move(object)), line_(line) {}

    [[noreturn]] void fail(const std::string& why) const {
        throw Error("run-events",
                    fmt::format("the run said something that is no event ({}): \"{}\"", why,
                                printable(line_.toStdString())),
                    "check that the program is shardscope, of this version", ErrorKind::run_failed);
    }
    QJsonValue of_type(const char* key, QJsonValue::Type type) const {
        const QJsonValue value = object_.value(QLatin1String(key));
        if (value.type() != type) fail(fmt::format("no usable \"{}\"", key));
        return value;
    }
    QString text(const char* key) const { return of_type(key, QJsonValue::String).toString(); }
    std::int64_t whole(const char* key) const {
        return static_cast<std::int64_t>(of_type(key, QJsonValue::Double).toDouble());
    }
    bool flag(const char* key) const { return of_type(key, QJsonValue::Bool).toBool(); }
    // null is a figure that is not known.
    double figure(const char* key) const {
        if (object_.value(QLatin1String(key)).isNull())
            return std::numeric_limits<double>::quiet_NaN();
        return of_type(key, QJsonValue::Double).toDouble();
    }
    bool has(const char* key) const {
        const QJsonValue value = object_.value(QLatin1String(key));
        return !value.isNull() && !value.isUndefined();
    }
    EventFields object(const char* key) const {
        return {of_type(key, QJsonValue::Object).toObject(), line_};
    }
    Error error(ErrorKind kind) const {
        return {text("rule").toStdString(), text("message").toStdString(),
                text("fix").toStdString(), kind};
    }
    std::vector<Bytes> sizes(const char* key) const {
        std::vector<Bytes> sizes;
        for (const QJsonValue& value : of_type(key, QJsonValue::Array).toArray())
            sizes.emplace_back(static_cast<std::int64_t>(value.toDouble()));
        return sizes;
    }

private:
    QJsonObject object_;
    const QByteArray& line_;
};

RunStarted started(const EventFields& event) {
    RunStarted result;
    result.strategy = event.text("strategy");
    result.layout = event.text("layout");
    result.backend = event.text("backend");
    result.ranks = static_cast<int>(event.whole("ranks"));
    result.steps = event.whole("steps");
    result.tokens = event.text("rate") == "tokens";
    return result;
}

RunStep step(const EventFields& event) {
    RunStep result;
    result.strategy = event.text("strategy");
    result.step = event.whole("step");
    result.steps = event.whole("steps");
    result.loss = event.figure("loss");
    result.tokens_per_s = event.figure("tokens_per_s");
    result.elapsed = Seconds(event.figure("elapsed_s"));
    result.memory = event.sizes("memory_bytes");
    return result;
}

RunEnded ended(const EventFields& event) {
    RunEnded result;
    result.exit_code = static_cast<int>(event.whole("exit_code"));
    result.cancelled = event.flag("cancelled");
    if (event.has("report")) result.report = event.text("report");
    if (!event.has("error")) return result;
    const ErrorKind kind = result.exit_code == 3   ? ErrorKind::invalid_input
                           : result.exit_code == 2 ? ErrorKind::io
                                                   : ErrorKind::run_failed;
    result.error = event.object("error").error(kind);
    return result;
}

}  // namespace

RunEvent parse_run_event(const QByteArray& line) {
    QJsonParseError fault{};
    const QJsonDocument document = QJsonDocument::fromJson(line, &fault);
    const EventFields event(document.object(), line);
    if (!document.isObject()) event.fail(fault.errorString().toStdString());
    const QString kind = event.text("event");
    if (kind == "started") return started(event);
    if (kind == "step") return step(event);
    if (kind == "finished") return RunOver{event.text("strategy"), RunState::finished, {}};
    if (kind == "cancelled") return RunOver{event.text("strategy"), RunState::cancelled, {}};
    if (kind == "failed")
        return RunOver{event.text("strategy"), RunState::failed,
                       event.error(ErrorKind::run_failed)};
    if (kind == "ended") return ended(event);
    event.fail("of an unknown kind");
}

}  // namespace shardscope::gui
