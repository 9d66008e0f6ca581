#include "core/report/chrome_trace.h"

#include <algorithm>
#include <bitset>
#include <charconv>
#include <cmath>
#include <iterator>
#include <map>

#include <fmt/format.h>

#include "core/report/memory_cursor.h"
#include "core/report/span_description.h"

namespace shardscope {
namespace {

// As the inside of a JSON string.
std::string json_escaped(std::string_view text) {
    std::string result;
    for (const char c : text) {
        if (c == '"' || c == '\\')
            result += {'\\', c};
        else if (static_cast<unsigned char>(c) < 0x20)
            result += fmt::format("\\u{:04x}", static_cast<int>(c));
        else
            result += c;
    }
    return result;
}

// Whose spans a file shows again and again: everything of an event but its rank, micro-batch and
// times, written once per instruction.
class RoleText {
public:
    RoleText(const Plan& plan, const RoleProgram& role)
        : role_(role), describer_(plan, role), texts_(role.bodies.size()) {
        for (std::size_t b = 0; b < texts_.size(); ++b)
            texts_[b].resize(role.bodies[b].instructions.size());
    }

    // Ends where the micro-batch's number belongs.
    const std::string& of(const Span& span) {
        std::string& text = texts_[span.body.index()][static_cast<std::size_t>(span.instruction)];
        if (text.empty()) text = made_for(span);
        return text;
    }

private:
    std::string made_for(const Span& span) const {
        const SpanDescription what = describer_.describe(span);
        std::string text =
            fmt::format(R"({{"ph":"X","name":"{}","args":{{)", json_escaped(what.name));
        if (what.flops) text += fmt::format(R"("flops":{},)", std::llround(what.flops->value));
        if (what.bytes) text += fmt::format(R"("bytes":{},)", what.bytes->value);
        if (!what.layer.empty()) text += fmt::format(R"("layer":"{}",)", json_escaped(what.layer));
        return text + fmt::format(R"("phase":"{}","body":"{}","micro-batch":)",
                                  phase_name(span.phase),
                                  json_escaped(role_.bodies[span.body.index()].name));
    }

    const RoleProgram& role_;
    SpanDescriber describer_;
    std::vector<std::vector<std::string>> texts_;  // by body and instruction; empty: not yet made
};

class TraceWriter {
public:
    explicit TraceWriter(const Plan& plan) : plan_(plan) {}

    void add(const TracePart& part) {
        // Growing by doubling would copy, and touch twice the pages.
        std::size_t spans = 0;
        for (const RankTrace& rank : part.trace->ranks) spans += rank.spans.size();
        out_.reserve(out_.size() + spans * kBytesPerSpan);
        for (const RankTrace& rank : part.trace->ranks) add(part.title, rank);
    }

    std::string finish() {
        if (out_.ends_with(kSeparator)) out_.resize(out_.size() - kSeparator.size());
        return std::move(out_) + "\n]}\n";
    }

private:
    static constexpr std::string_view kSeparator = ",\n";
    static constexpr std::size_t kBytesPerSpan = 320;  // rather too many; its counter included

    struct RoleData {
        RoleText text;
        std::vector<MemorySample> memory;
    };
    RoleData& data_of(std::size_t role) {
        const auto known = roles_.find(role);
        if (known != roles_.end()) return known->second;
        const RoleProgram& program = plan_.program.roles[role];
        return roles_.emplace(role, RoleData{RoleText(plan_, program), memory_timeline(program)})
            .first->second;
    }

    void add(std::string_view title, const RankTrace& rank) {
        const std::size_t role = plan_.program.role_of(rank.rank);
        ++process_;
        name_process(title, rank, plan_.program.roles[role]);
        name_threads(rank);
        RoleData& data = data_of(role);
        add_spans(rank, data.text);
        add_memory(rank, plan_.program.roles[role], data.memory);
    }

    void name_process(std::string_view title, const RankTrace& rank, const RoleProgram& role) {
        std::string name =
            fmt::format("{}{}rank {}", title, title.empty() ? "" : " ", rank.rank.value);
        std::string more = plan_.program.roles.size() > 1 ? role.name : "";
        if (rank.multiplicity > 1)
            more +=
                fmt::format("{}stands for {} ranks", more.empty() ? "" : ", ", rank.multiplicity);
        if (!more.empty()) name += fmt::format(" ({})", more);
        describe("process_name", 0, fmt::format(R"("name":"{}")", json_escaped(name)));
        describe("process_sort_index", 0, fmt::format(R"("sort_index":{})", process_));
    }

    void name_threads(const RankTrace& rank) {
        std::bitset<kStreams> used;
        for (const Span& span : rank.spans) used.set(static_cast<std::size_t>(span.stream));
        for (std::size_t s = 0; s < kStreams; ++s) {
            if (!used[s]) continue;
            describe("thread_name", s,
                     fmt::format(R"("name":"{}")", stream_name(static_cast<Stream>(s))));
            describe("thread_sort_index", s, fmt::format(R"("sort_index":{})", s));
        }
    }

    // Viewers take a thread's number for the whole machine's, so no two ranks share one. A stream more does not
    // change the numbers.
    static constexpr std::size_t kMostStreams = 16;
    static_assert(kStreams <= kMostStreams);
    std::size_t thread(std::size_t stream) const {
        return static_cast<std::size_t>(process_) * kMostStreams + stream;
    }

    void describe(std::string_view what, std::size_t stream, const std::string& argument) {
        fmt::format_to(std::back_inserter(out_),
                       R"({{"ph":"M","name":"{}","pid":{},"tid":{},"args":{{{}}}}}{})", what,
                       process_, thread(stream), argument, kSeparator);
    }

    void add_spans(const RankTrace& rank, RoleText& text) {
        std::array<std::string, kStreams> places;
        for (std::size_t s = 0; s < kStreams; ++s)
            places[s] = fmt::format(R"(}},"pid":{},"tid":{},"ts":)", process_, thread(s));
        for (const Span& span : rank.spans) {
            const std::int64_t start = nanoseconds(span.start);
            out_ += text.of(span);
            append(span.micro_batch);
            out_ += places[static_cast<std::size_t>(span.stream)];
            append_time(start);
            out_ += R"(,"dur":)";
            // From rounded to rounded, so that spans that touch never overlap.
            append_time(std::max<std::int64_t>(0, nanoseconds(span.end) - start));
            out_ += '}';
            out_ += kSeparator;
        }
    }

    void add_memory(const RankTrace& rank, const RoleProgram& role,
                    const std::vector<MemorySample>& samples) {
        const std::string head =
            fmt::format(R"({{"ph":"C","name":"planned memory","pid":{},"ts":)", process_);
        MemoryCursor cursor(role, samples);
        for (const Span& span : rank.spans) {
            if (span.stream != Stream::compute) continue;
            for (const MemorySample& sample : cursor.until(span)) {
                out_ += head;
                append_time(nanoseconds(span.start));
                out_ += R"(,"args":{"bytes":)";
                append(sample.live.value);
                out_ += "}}";
                out_ += kSeparator;
            }
        }
    }

    void append(std::int64_t number) {
        char digits[24];
        const auto end = std::to_chars(std::begin(digits), std::end(digits), number).ptr;
        out_.append(digits, end);
    }

    void append_time(std::int64_t ns) {
        append(ns / 1000);
        const auto rest = static_cast<int>(ns % 1000);
        const char fraction[] = {'.', static_cast<char>('0' + rest / 100),
                                 static_cast<char>('0' + rest / 10 % 10),
                                 static_cast<char>('0' + rest % 10)};
        out_.append(fraction, sizeof fraction);
    }

    const Plan& plan_;
    std::map<std::size_t, RoleData> roles_;
    int process_ = 0;
    std::string out_ = "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n";
};

}  // namespace

std::string chrome_trace(const Plan& plan, std::span<const TracePart> parts) {
    TraceWriter writer(plan);
    for (const TracePart& part : parts) writer.add(part);
    return writer.finish();
}

}  // namespace shardscope
