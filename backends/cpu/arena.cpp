#include "backends/cpu/arena.h"

#include <utility>

#include <sys/mman.h>

#include "backends/arena_poison.h"
#include "core/error.h"

namespace shardscope {

Arena::Arena(Bytes size) : size_(size) {
    if (size.value == 0) return;
    void* memory = mmap(nullptr, static_cast<std::size_t>(size.value), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED)
        throw Error("out-of-memory",
                    "the system refused an arena of " + std::to_string(size.value) + " bytes",
                    "use fewer ranks, a smaller model or a higher ZeRO stage",
                    ErrorKind::run_failed);
    data_ = static_cast<std::byte*>(memory);
}

Arena::Arena(Arena&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, Bytes())) {}

Arena& Arena::operator=(Arena&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
}

Arena::~Arena() {
    if (data_ == nullptr) return;
    unpoison(data_, size_.value);
    munmap(data_, static_cast<std::size_t>(size_.value));
}

}  // namespace shardscope
