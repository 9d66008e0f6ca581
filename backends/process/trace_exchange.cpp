#include "backends/process/trace_exchange.h"

#include <cstring>
#include <type_traits>

namespace shardscope {
namespace {

// All processes run the same version on machines of one kind (tcp_meeting.h), so plain copies do.
struct Lengths {
    std::int64_t present = 0, steps = 0, spans = 0;
};

class Writer {
public:
    explicit Writer(std::vector<std::byte>& to) : to_(to) {}
    template <class T>
    void put(const T* values, std::size_t count) {
        static_assert(std::is_trivially_copyable_v<T>);
        const auto* bytes = reinterpret_cast<const std::byte*>(values);
        to_.insert(to_.end(), bytes, bytes + count * sizeof(T));
    }

private:
    std::vector<std::byte>& to_;
};

class Reader {
public:
    explicit Reader(const std::byte* from) : from_(from) {}
    template <class T>
    void take(T* values, std::size_t count) {
        static_assert(std::is_trivially_copyable_v<T>);
        if (count > 0) std::memcpy(static_cast<void*>(values), from_, count * sizeof(T));
        from_ += count * sizeof(T);
    }

private:
    const std::byte* from_;
};

std::vector<std::byte> packed(const std::optional<RankTrace>& trace) {
    std::vector<std::byte> bytes;
    Writer writer(bytes);
    Lengths lengths;
    if (trace) lengths = {1, std::ssize(trace->steps), std::ssize(trace->spans)};
    writer.put(&lengths, 1);
    if (!trace) return bytes;
    writer.put(&trace->rank, 1);
    writer.put(&trace->memory, 1);
    writer.put(trace->steps.data(), trace->steps.size());
    writer.put(trace->spans.data(), trace->spans.size());
    return bytes;
}

std::optional<RankTrace> unpacked(const std::byte* bytes) {
    Reader reader(bytes);
    Lengths lengths;
    reader.take(&lengths, 1);
    if (lengths.present == 0) return std::nullopt;
    RankTrace trace;
    reader.take(&trace.rank, 1);
    reader.take(&trace.memory, 1);
    trace.steps.resize(static_cast<std::size_t>(lengths.steps));
    trace.spans.resize(static_cast<std::size_t>(lengths.spans));
    reader.take(trace.steps.data(), trace.steps.size());
    reader.take(trace.spans.data(), trace.spans.size());
    return trace;
}

}  // namespace

std::vector<RankTrace> gather_traces(Communicator& world, const std::optional<RankTrace>& mine) {
    std::vector<std::byte> bytes = packed(mine);
    // In words of 4 bytes, as a communicator counts elements; everybody sends as many as the longest.
    auto words = static_cast<std::int32_t>((bytes.size() + 3) / 4);
    world.all_reduce(reinterpret_cast<std::byte*>(&words), 1, DType::int32, ReduceOp::maximum);
    bytes.resize(static_cast<std::size_t>(words) * 4);
    std::vector<std::byte> all(bytes.size() * static_cast<std::size_t>(world.size()));
    world.all_gather(bytes.data(), all.data(), words, DType::int32);
    std::vector<RankTrace> traces;
    for (int r = 0; r < world.size(); ++r)
        if (auto trace = unpacked(all.data() + static_cast<std::size_t>(r) * bytes.size()))
            traces.push_back(std::move(*trace));
    return traces;
}

}  // namespace shardscope
