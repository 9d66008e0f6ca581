#include "core/program/frames.h"

#include <algorithm>
#include <map>
#include <utility>

#include "core/checked.h"
#include "core/program/pack.h"

namespace shardscope {
namespace {

constexpr std::size_t kFewOwners = 400;

class FramePlanner {
public:
    FramePlanner(const RoleProgram& role, const std::vector<Lifetime>& lives, Tier tier)
        : role_(role), lives_(lives), tier_(tier) {
        for (const Task& task : role.schedule)
            micro_batches_ = std::max(micro_batches_, task.micro_batch + 1);
    }

    FramePlan run() {
        plan_.frame.assign(role_.buffers.size(), -1);
        plan_.offset.assign(role_.buffers.size(), Bytes(0));
        if (!overlapping()) return std::move(plan_);
        collect_users();
        for (std::size_t i = 0; i < role_.buffers.size(); ++i)
            if (lives_[i].carried && role_.buffers[i].tier == tier_) add(i);
        find_lives();
        place();
        return std::move(plan_);
    }

private:
    // Whether a chunk starts on a micro-batch before another one in progress is finished.
    bool overlapping() const {
        int chunks = 0;
        for (const Body& body : role_.bodies) chunks = std::max(chunks, body.chunk + 1);
        // Tasks of each chunk and micro-batch that have not run yet.
        const auto count = static_cast<std::size_t>(chunks) *
                           static_cast<std::size_t>(std::max(micro_batches_, 0));
        std::vector<std::int32_t> all(count, 0);
        for (const Task& task : role_.schedule)
            if (chunk_of(task) >= 0) ++all[work_of(task)];
        std::vector<std::int32_t> left = all;
        std::size_t in_progress = 0;
        for (const Task& task : role_.schedule) {
            if (chunk_of(task) < 0) continue;
            const std::size_t work = work_of(task);
            if (left[work] == all[work]) ++in_progress;
            if (in_progress > 1) return true;
            if (--left[work] == 0) --in_progress;
        }
        return false;
    }

    int chunk_of(const Task& task) const { return role_.bodies[task.body.index()].chunk; }
    // Number of the task's chunk and micro-batch.
    std::size_t work_of(const Task& task) const {
        return static_cast<std::size_t>(chunk_of(task)) * static_cast<std::size_t>(micro_batches_) +
               static_cast<std::size_t>(task.micro_batch);
    }

    void collect_users() {
        users_.assign(role_.buffers.size(), {});
        for (std::size_t b = 0; b < role_.bodies.size(); ++b)
            for (const Instruction& i : role_.bodies[b].instructions)
                for_each_operand(i, [&](const Operand& o, Access) {
                    auto& list = users_[o.buffer.index()];
                    if (list.empty() || list.back() != b) list.push_back(b);
                });
    }

    // Buffers that the same bodies use live equally long and share a frame.
    void add(std::size_t buffer) {
        const auto& users = users_[buffer];
        const auto [it, fresh] = by_users_.try_emplace(users, plan_.frames.size());
        if (fresh) {
            plan_.frames.push_back({role_.bodies[users.front()].chunk, Bytes(0), {}});
            auto& used = plan_.used_by.emplace_back(role_.bodies.size(), false);
            for (const std::size_t body : users) used[body] = true;
        }
        Frame& frame = plan_.frames[it->second];
        plan_.frame[buffer] = static_cast<std::int32_t>(it->second);
        plan_.offset[buffer] = frame.size;
        frame.size = Bytes(checked_add(
            frame.size.value, round_up(role_.buffers[buffer].size().value, kArenaAlignment),
            "the memory plan"));
    }

    void find_lives() {
        const auto tasks = static_cast<std::int32_t>(role_.schedule.size());
        for (std::size_t f = 0; f < plan_.frames.size(); ++f) {
            auto& lives = plan_.lives.emplace_back(micro_batches_, Interval{tasks, -1});
            for (std::int32_t t = 0; t < tasks; ++t) {
                const Task& task = role_.schedule[static_cast<std::size_t>(t)];
                if (!plan_.used_by[f][task.body.index()]) continue;
                Interval& life = lives[static_cast<std::size_t>(task.micro_batch)];
                life.first = std::min(life.first, t);
                life.last = t;
            }
        }
    }

    struct Owner {
        std::size_t frame = 0, micro_batch = 0;
        std::int32_t start = 0;
    };

    std::int64_t size_of_frame(const Owner& owner) const {
        return plan_.frames[owner.frame].size.value;
    }
    const Interval& life_of(const Owner& owner) const {
        return plan_.lives[owner.frame][owner.micro_batch];
    }

    struct Places {
        std::vector<std::int64_t> offset;  // per owner
        std::int64_t extent = 0;
    };

    // In order of start, each at the lowest offset that no earlier one still uses; only those of
    // `frame` if it is not −1. Wastes nothing where sizes are equal.
    Places first_fit(const std::vector<Owner>& owners, std::ptrdiff_t frame) const {
        Places places;
        places.offset.resize(owners.size());
        std::vector<std::size_t> live;  // owners by offset
        for (std::size_t k = 0; k < owners.size(); ++k) {
            if (frame >= 0 && owners[k].frame != static_cast<std::size_t>(frame)) continue;
            std::erase_if(live,
                          [&](std::size_t o) { return life_of(owners[o]).last < owners[k].start; });
            std::int64_t offset = 0;
            auto next = live.begin();
            for (; next != live.end(); ++next) {
                if (places.offset[*next] - offset >= size_of_frame(owners[k])) break;
                offset = places.offset[*next] + size_of_frame(owners[*next]);
            }
            live.insert(next, k);
            places.offset[k] = offset;
            places.extent = std::max(places.extent, offset + size_of_frame(owners[k]));
        }
        return places;
    }

    // Every frame in a region of its own, as large as its micro-batches in flight need.
    Places apart(const std::vector<Owner>& owners) const {
        Places result;
        result.offset.resize(owners.size());
        for (std::size_t f = 0; f < plan_.frames.size(); ++f) {
            const Places mine = first_fit(owners, static_cast<std::ptrdiff_t>(f));
            for (std::size_t k = 0; k < owners.size(); ++k)
                if (owners[k].frame == f) result.offset[k] = result.extent + mine.offset[k];
            result.extent += mine.extent;
        }
        return result;
    }

    // Largest first, and in other orders: quadratic.
    Places packed(const std::vector<Owner>& owners) const {
        std::vector<PackItem> items;
        for (const Owner& owner : owners) {
            PackItem& item = items.emplace_back();
            item.size = size_of_frame(owner);
            item.spans[0] = {life_of(owner).first, life_of(owner).last};
            item.span_count = 1;
        }
        Packing packing = pack(items, static_cast<std::int32_t>(role_.schedule.size()), 0);
        return {std::move(packing.offset), packing.extent};
    }

    void place() {
        std::vector<Owner> owners;
        for (std::size_t f = 0; f < plan_.frames.size(); ++f) {
            plan_.frames[f].base.assign(plan_.lives[f].size(), Bytes(0));
            for (std::size_t m = 0; m < plan_.lives[f].size(); ++m)
                if (const Interval& life = plan_.lives[f][m]; life.first <= life.last)
                    owners.push_back({f, m, life.first});
        }
        std::stable_sort(owners.begin(), owners.end(),
                         [](const Owner& a, const Owner& b) { return a.start < b.start; });
        Places places = first_fit(owners, -1);
        const auto try_other = [&](Places other) {
            if (other.extent < places.extent) places = std::move(other);
        };
        if (plan_.frames.size() > 1) {
            try_other(apart(owners));
            if (owners.size() <= kFewOwners) try_other(packed(owners));
        }
        for (std::size_t k = 0; k < owners.size(); ++k)
            plan_.frames[owners[k].frame].base[owners[k].micro_batch] = Bytes(places.offset[k]);
        plan_.extent = Bytes(places.extent);
    }

    const RoleProgram& role_;
    const std::vector<Lifetime>& lives_;
    const Tier tier_;
    std::int32_t micro_batches_ = 0;
    FramePlan plan_;
    std::vector<std::vector<std::size_t>> users_;  // per buffer: bodies, ascending
    std::map<std::vector<std::size_t>, std::size_t> by_users_;
};

}  // namespace

FramePlan plan_frames(const RoleProgram& role, const std::vector<Lifetime>& lives, Tier tier) {
    return FramePlanner(role, lives, tier).run();
}

}  // namespace shardscope
