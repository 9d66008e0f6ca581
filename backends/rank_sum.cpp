#include "backends/rank_sum.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "core/bf16.h"

namespace shardscope {
namespace {

// Elements summed before they are copied to the targets: the block stays in the first-level cache,
// so every source is read and every target written once.
constexpr std::int64_t kBlock = 1024;

// How a stored element enters and leaves the accumulator.
template <class Stored>
struct Element {
    using Sum = Stored;
    static Sum load(Stored x) { return x; }
    static Stored store(Sum x) { return x; }
};

template <>
struct Element<Bf16> {
    using Sum = float;
    static float load(Bf16 x) { return x; }
    static Bf16 store(float x) { return x; }
};

// Gradients of int32 do not exist, but counters may wrap: sums are defined modulo 2³².
template <>
struct Element<std::int32_t> {
    using Sum = std::uint32_t;
    static Sum load(std::int32_t x) { return static_cast<Sum>(x); }
    static std::int32_t store(Sum x) { return static_cast<std::int32_t>(x); }
};

// How two values in accumulators combine.
struct Plus {
    template <class Sum>
    static Sum of(Sum x, Sum y) {
        return x + y;
    }
};

struct Largest {
    template <class Sum>
    static Sum of(Sum x, Sum y) {
        return x > y || x != x ? x : y;
    }
    static std::uint32_t of(std::uint32_t x, std::uint32_t y) {  // an int32
        return static_cast<std::int32_t>(x) > static_cast<std::int32_t>(y) ? x : y;
    }
};

template <class Stored, class Combine>
struct Block {
    using E = Element<Stored>;
    alignas(64) typename E::Sum sum[kBlock];

    void load(const Stored* x, std::int64_t n) {
        for (std::int64_t i = 0; i < n; ++i) sum[i] = E::load(x[i]);
    }
    void load_both(const Stored* x, const Stored* y, std::int64_t n) {
        for (std::int64_t i = 0; i < n; ++i) sum[i] = Combine::of(E::load(x[i]), E::load(y[i]));
    }
    void add(const Stored* x, std::int64_t n) {
        for (std::int64_t i = 0; i < n; ++i) sum[i] = Combine::of(sum[i], E::load(x[i]));
    }
    void store(Stored* y, std::int64_t n) const {
        for (std::int64_t i = 0; i < n; ++i) y[i] = E::store(sum[i]);
    }
};

template <class Combine, class Stored>
void reduce_as(std::span<const std::byte* const> sources, std::span<std::byte* const> targets,
               std::int64_t elements) {
    const auto source = [&](std::size_t r) { return reinterpret_cast<const Stored*>(sources[r]); };
    Block<Stored, Combine> block;
    for (std::int64_t first = 0; first < elements; first += kBlock) {
        const std::int64_t n = std::min(kBlock, elements - first);
        if (sources.size() == 1) {
            block.load(source(0) + first, n);
        } else {
            block.load_both(source(0) + first, source(1) + first, n);
            for (std::size_t r = 2; r < sources.size(); ++r) block.add(source(r) + first, n);
        }
        for (std::byte* target : targets) block.store(reinterpret_cast<Stored*>(target) + first, n);
    }
}

template <class Combine>
void reduce(std::span<const std::byte* const> sources, std::span<std::byte* const> targets,
            std::int64_t elements, DType dtype) {
    switch (dtype) {
        case DType::fp32:
            return reduce_as<Combine, float>(sources, targets, elements);
        case DType::fp64:
            return reduce_as<Combine, double>(sources, targets, elements);
        case DType::bf16:
            return reduce_as<Combine, Bf16>(sources, targets, elements);
        case DType::int32:
            return reduce_as<Combine, std::int32_t>(sources, targets, elements);
        case DType::fp16:
        case DType::int8:
            throw std::logic_error("no backend sums fp16 or int8");
    }
}

}  // namespace

void sum_in_order(std::span<const std::byte* const> sources, std::span<std::byte* const> targets,
                  std::int64_t elements, DType dtype) {
    reduce<Plus>(sources, targets, elements, dtype);
}

void maximum_of(std::span<const std::byte* const> sources, std::span<std::byte* const> targets,
                std::int64_t elements, DType dtype) {
    reduce<Largest>(sources, targets, elements, dtype);
}

}  // namespace shardscope
