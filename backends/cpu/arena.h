// The one allocation that holds all planned memory of a rank.
#pragma once

#include <cstddef>

#include "core/units.h"

namespace shardscope {

// Page-aligned, zero-filled, resident from the start: so what a process takes on top of its arenas
// can be seen from outside. Owns the memory.
class Arena {
public:
    Arena() = default;
    // Throws Error{run_failed, "out-of-memory"}.
    explicit Arena(Bytes size);
    Arena(Arena&& other) noexcept;
    Arena& operator=(Arena&& other) noexcept;
    ~Arena();

    std::byte* data() const { return data_; }
    Bytes size() const { return size_; }

private:
    std::byte* data_ = nullptr;
    Bytes size_;
};

}  // namespace shardscope
