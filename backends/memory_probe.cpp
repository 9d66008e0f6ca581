#include "backends/memory_probe.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

namespace shardscope {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kMeaningful = false;
#else
constexpr bool kMeaningful = true;
#endif

Bytes heap_in_use() {
    const struct mallinfo2 info = mallinfo2();
    return Bytes(static_cast<std::int64_t>(info.uordblks + info.hblkhd));
}

struct ProcessStatus {
    Bytes data, resident, peak_resident;
};

// The value of "\nkey:   123 kB", 0 where there is none.
Bytes kilobytes(std::string_view status, std::string_view key) {
    const std::size_t at = status.find(key);
    if (at == std::string_view::npos) return {};
    const std::size_t digits = status.find_first_of("0123456789", at);
    if (digits == std::string_view::npos) return {};
    std::int64_t value = 0;
    std::from_chars(status.data() + digits, status.data() + status.size(), value);
    return Bytes(value * 1024);
}

// Read without a stream object, which would itself allocate.
ProcessStatus process_status() {
    std::array<char, 8192> text{};
    const int file = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    if (file < 0) return {};
    const ssize_t size = read(file, text.data(), text.size());
    close(file);
    const std::string_view status(text.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
    return {kilobytes(status, "\nVmData:"), kilobytes(status, "\nVmRSS:"),
            kilobytes(status, "\nVmHWM:")};
}

// Makes VmHWM count from now (proc(5), clear_refs, value 5).
bool reset_peak_resident() {
    const int file = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (file < 0) return false;
    const bool done = write(file, "5", 1) == 1;
    close(file);
    return done;
}

}  // namespace

void MemoryProbe::start() {
    if (!kMeaningful) return;
    heap_ = heap_in_use();
    mapped_ = process_status().data;
}

void MemoryProbe::sample() {
    if (!kMeaningful) return;
    const ProcessStatus status = process_status();
    growth_ = std::max({growth_, heap_in_use() - heap_, status.data - mapped_});
    if (!warm_) {
        warm_ = true;
        // Where the kernel refuses, this view stays closed: no growth can exceed the largest value.
        resident_ = reset_peak_resident() ? status.resident : Bytes(INT64_MAX);
    } else {
        growth_ = std::max(growth_, status.peak_resident - resident_);
    }
}

std::string MemoryProbe::note() {
    return kMeaningful ? "" : "memory outside the plan is not measured in sanitizer builds";
}

}  // namespace shardscope
