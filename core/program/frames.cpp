#include "core/program/frames.h"

#include <algorithm>
#include <limits>
#include <map>
#include <utility>

#include "core/checked.h"
#include "core/program/pack.h"

namespace shardscope {
namespace {

class FramePlanner {
public:
    FramePlanner(const RoleProgram& role, const std::vector<Lifetime>& lives)
        : role_(role), lives_(lives) {
        for (const Task& task : role.schedule)
            micro_batches_ = std::max(micro_batches_, task.micro_batch + 1);
    }

    FramePlan run() {
        plan_.frame.assign(role_.buffers.size(), -1);
        plan_.offset.assign(role_.buffers.size(), Bytes(0));
        if (!overlapping()) return std::move(plan_);
        collect_users();
        for (std::size_t i = 0; i < role_.buffers.size(); ++i)
            if (lives_[i].carried) add(i);
        find_lives();
        place();
        return std::move(plan_);
    }

private:
    // Whether a chunk starts on a micro-batch before another one in progress is finished.
    bool overlapping() const {
        std::map<std::pair<int, std::int32_t>, std::size_t> last;
        for (std::size_t t = 0; t < role_.schedule.size(); ++t)
            if (const int chunk = chunk_of(t); chunk >= 0)
                last[{chunk, role_.schedule[t].micro_batch}] = t;
        std::map<std::pair<int, std::int32_t>, bool> open;
        std::size_t in_progress = 0;
        for (std::size_t t = 0; t < role_.schedule.size(); ++t) {
            if (chunk_of(t) < 0) continue;
            const std::pair key{chunk_of(t), role_.schedule[t].micro_batch};
            if (!std::exchange(open[key], true)) ++in_progress;
            if (in_progress > 1) return true;
            if (last[key] == t) --in_progress;
        }
        return false;
    }

    int chunk_of(std::size_t task) const {
        return role_.bodies[role_.schedule[task].body.index()].chunk;
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
                life.last = std::max(life.last, t);
            }
        }
    }

    struct Owner {
        std::size_t frame = 0, micro_batch = 0;
        std::int32_t start = 0;
    };

    // Every frame in a region of its own, as large as its micro-batches in flight need.
    Packing pack_apart(const std::vector<Owner>& owners, const std::vector<PackItem>& items,
                       std::int32_t tasks) const {
        Packing result;
        result.offset.resize(items.size());
        for (std::size_t f = 0; f < plan_.frames.size(); ++f) {
            std::vector<PackItem> mine;
            std::vector<std::size_t> number;
            for (std::size_t k = 0; k < owners.size(); ++k) {
                if (owners[k].frame != f) continue;
                mine.push_back(items[k]);
                number.push_back(k);
            }
            const Packing packing = pack(mine, tasks, std::numeric_limits<std::int64_t>::max() / 2);
            for (std::size_t k = 0; k < number.size(); ++k)
                result.offset[number[k]] = result.extent + packing.offset[k];
            result.extent += packing.extent;
        }
        return result;
    }

    void place() {
        const auto tasks = static_cast<std::int32_t>(role_.schedule.size());
        std::vector<Owner> owners;
        for (std::size_t f = 0; f < plan_.frames.size(); ++f) {
            plan_.frames[f].base.assign(plan_.lives[f].size(), Bytes(0));
            for (std::size_t m = 0; m < plan_.lives[f].size(); ++m)
                if (const Interval& life = plan_.lives[f][m]; life.first <= life.last)
                    owners.push_back({f, m, life.first});
        }
        // First fit in order of start wastes nothing where sizes are equal.
        std::stable_sort(owners.begin(), owners.end(),
                         [](const Owner& a, const Owner& b) { return a.start < b.start; });
        std::vector<PackItem> items;
        std::vector<std::int64_t> live(role_.schedule.size() + 1, 0);
        for (const Owner& owner : owners) {
            const Interval& life = plan_.lives[owner.frame][owner.micro_batch];
            PackItem& item = items.emplace_back();
            item.size = plan_.frames[owner.frame].size.value;
            item.spans[0] = {life.first, life.last};
            item.span_count = 1;
            live[static_cast<std::size_t>(life.first)] += item.size;
            live[static_cast<std::size_t>(life.last) + 1] -= item.size;
        }
        for (std::size_t t = 1; t < live.size(); ++t) live[t] += live[t - 1];
        const std::int64_t enough = *std::max_element(live.begin(), live.end());
        const Packing together = pack(items, tasks, enough);
        Packing packing = together.extent <= enough ? together : pack_apart(owners, items, tasks);
        if (together.extent < packing.extent) packing = together;
        for (std::size_t k = 0; k < owners.size(); ++k)
            plan_.frames[owners[k].frame].base[owners[k].micro_batch] = Bytes(packing.offset[k]);
        plan_.extent = Bytes(packing.extent);
    }

    const RoleProgram& role_;
    const std::vector<Lifetime>& lives_;
    std::int32_t micro_batches_ = 0;
    FramePlan plan_;
    std::vector<std::vector<std::size_t>> users_;  // per buffer: bodies, ascending
    std::map<std::vector<std::size_t>, std::size_t> by_users_;
};

}  // namespace

FramePlan plan_frames(const RoleProgram& role, const std::vector<Lifetime>& lives) {
    return FramePlanner(role, lives).run();
}

}  // namespace shardscope
