#include "gui/models/memory_over_time.h"

#include <algorithm>

#include "core/report/memory_cursor.h"
#include "core/report/span_description.h"

namespace shardscope::gui {
namespace {

constexpr std::size_t kBlock = 16;  // entries that one of the next level stands for

constexpr auto kRuntime = static_cast<std::size_t>(Category::runtime);

}  // namespace

Bytes MemoryPoint::total() const {
    Bytes sum;
    for (const Bytes bytes : categories) sum += bytes;
    return sum;
}

MemoryOverTime::MemoryOverTime(const RoleProgram& role, std::span<const Span> spans, Bytes runtime)
    : live_(role), runtime_(runtime) {
    const std::vector<MemorySample> samples = live_.timeline(role);
    changes_.reserve(samples.size());
    MemoryCursor cursor(role, samples);
    const auto add = [&](std::int64_t time, std::span<const MemorySample> next) {
        for (const MemorySample& sample : next)
            changes_.push_back({changes_.empty() ? 0 : time, sample.task, sample.instruction});
    };
    for (const Span& span : spans)
        if (span.stream == Stream::compute) add(nanoseconds(span.start), cursor.until(span));
    index_largest();
}

MemoryPoint MemoryOverTime::operator[](std::size_t index) const {
    const Change& change = changes_[index];
    MemoryPoint point{change.time, live_.at(change.task, change.instruction)};
    point.categories[kRuntime] += runtime_;
    return point;
}

Bytes MemoryOverTime::total(std::size_t index) const {
    return live_.total(changes_[index].task, changes_[index].instruction) + runtime_;
}

std::size_t MemoryOverTime::at(std::int64_t time) const {
    const auto after =
        std::upper_bound(changes_.begin(), changes_.end(), time,
                         [](std::int64_t t, const Change& change) { return t < change.time; });
    return after == changes_.begin() ? 0 : static_cast<std::size_t>(after - changes_.begin()) - 1;
}

void MemoryOverTime::index_largest() {
    for (std::size_t below = changes_.size(); below > kBlock; below = largest_.back().size()) {
        const std::size_t level = largest_.size();
        std::vector<std::uint32_t> next;
        for (std::size_t first = 0; first < below; first += kBlock) {
            const auto entry = [&](std::size_t i) {
                return level == 0 ? i : std::size_t{largest_[level - 1][i]};
            };
            std::size_t best = entry(first);
            for (std::size_t i = first; i < std::min(below, first + kBlock); ++i)
                if (total(entry(i)) > total(best)) best = entry(i);
            next.push_back(static_cast<std::uint32_t>(best));
        }
        largest_.push_back(std::move(next));
    }
}

std::size_t MemoryOverTime::largest(std::size_t first, std::size_t last) const {
    std::size_t best = first;
    const auto offer = [&](std::size_t index) {
        const Bytes bytes = total(index), most = total(best);
        if (bytes > most || (bytes == most && index < best)) best = index;
    };
    // Entries of a level that no whole block of the next covers, at both ends; then one level up.
    std::size_t begin = first, end = last + 1;
    for (std::size_t level = 0; begin < end; ++level) {
        const auto take = [&](std::size_t i) {
            offer(level == 0 ? i : std::size_t{largest_[level - 1][i]});
        };
        if (level == largest_.size() || end - begin < 2 * kBlock) {
            for (std::size_t i = begin; i < end; ++i) take(i);
            break;
        }
        for (; begin % kBlock != 0; ++begin) take(begin);
        for (; end % kBlock != 0; --end) take(end - 1);
        begin /= kBlock;
        end /= kBlock;
    }
    return best;
}

}  // namespace shardscope::gui
