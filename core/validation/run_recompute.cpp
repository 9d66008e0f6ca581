#include "core/validation/run_recompute.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <numeric>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "core/error.h"
#include "core/lowering/profile_rules.h"
#include "core/nearest.h"
#include "core/validation/run_notes.h"
#include "core/validation/run_words.h"
#include "core/yaml_number.h"

namespace shardscope {
namespace {

using Kind = Recompute::Kind;
constexpr Recompute kWhole{Kind::full, 1};
constexpr std::int64_t kMostBlocks = 10'000;  // of a model

bool is_one_of(std::string_view word, std::initializer_list<std::string_view> words) {
    return std::ranges::find(words, word) != words.end();
}

// In lower case; "of" where a '/' is between numbers.
std::vector<std::string> words_in(std::string_view text) {
    std::vector<std::string> words(1);
    const auto is_numeral = [&](std::size_t at) {
        return at < text.size() && std::isdigit(static_cast<unsigned char>(text[at])) != 0;
    };
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto c = static_cast<unsigned char>(text[i]);
        if (std::isalnum(c) != 0) {
            words.back() += static_cast<char>(std::tolower(c));
            continue;
        }
        if (!words.back().empty()) words.emplace_back();
        if (c != '/' || i == 0 || !is_numeral(i - 1) || !is_numeral(i + 1)) continue;
        words.back() = "of";
        words.emplace_back();
    }
    if (words.back().empty()) words.pop_back();
    return words;
}

// Some of a model's blocks, or of those of every chunk or stage of a pipeline.
struct Part {
    enum class Of { model, chunk, stage } of = Of::chunk;
    std::int64_t blocks = 0;
    std::int64_t all = 0;  // of a model's
};

// What a text says of how many blocks are recomputed.
class BlockCounts {
public:
    explicit BlockCounts(std::string_view text) : words_(words_in(text)) {}

    std::optional<Part> part() const {
        if (is_uniform()) return std::nullopt;
        if (const auto share = share_of_blocks()) return share;
        if (const auto piece = per_piece()) return piece;
        return method_block();
    }

    bool is_uniform() const { return std::ranges::find(words_, "uniform") != words_.end(); }

    // The first number beside "layers" or "uniform".
    std::optional<std::int64_t> count() const {
        for (std::size_t at = 0; at < words_.size(); ++at) {
            const bool behind = at > 0 && (is_unit(at - 1) || word(at - 1) == "uniform");
            if (number(at) && (behind || is_unit(at + 1))) return number(at);
        }
        return std::nullopt;
    }

private:
    std::string_view word(std::size_t at) const {
        return at < words_.size() ? std::string_view(words_[at]) : std::string_view();
    }
    std::optional<std::int64_t> number(std::size_t at) const { return parse_integer(word(at)); }
    std::optional<std::int64_t> first_number(std::size_t from, std::size_t end) const {
        for (std::size_t at = from; at < end; ++at)
            if (const auto count = number(at)) return count;
        return std::nullopt;
    }
    bool is_unit(std::size_t at) const {
        return is_one_of(word(at), {"layer", "layers", "block", "blocks"});
    }

    // "10 of 32 layers", "1 of every 4 blocks"
    std::optional<Part> share_of_blocks() const {
        for (std::size_t at = 0; at + 2 < words_.size(); ++at) {
            std::size_t all = at + 2;
            if (is_one_of(word(all), {"the", "every", "each", "all"})) ++all;
            if (!number(at) || word(at + 1) != "of" || !number(all) || !is_unit(all + 1)) continue;
            return Part{Part::Of::model, *number(at), *number(all)};
        }
        return std::nullopt;
    }

    // "5 layers per stage", "1 layer of each chunk"
    std::optional<Part> per_piece() const {
        for (std::size_t at = 0; at + 3 < words_.size(); ++at) {
            if (!number(at) || !is_unit(at + 1) || (at > 0 && word(at - 1) == "every")) continue;
            std::size_t piece = at + 2;
            while (is_one_of(word(piece), {"per", "of", "in", "each", "every", "a", "virtual",
                                           "pipeline", "pp", "vpp", "model"}))
                ++piece;
            if (piece == at + 2) continue;
            if (word(piece) == "chunk") return Part{Part::Of::chunk, *number(at)};
            const bool is_virtual = is_one_of(word(piece - 1), {"virtual", "vpp"}) ||
                                    is_one_of(word(piece - 2), {"virtual", "vpp"});
            if (is_one_of(word(piece), {"stage", "rank"}))
                return Part{is_virtual ? Part::Of::chunk : Part::Of::stage, *number(at)};
        }
        return std::nullopt;
    }

    // Megatron's --recompute-method block, whose --recompute-num-layers are of a chunk (transformer_block.py's
    // _checkpointed_forward); "per block" is no method.
    std::optional<Part> method_block() const {
        for (std::size_t at = 0; at < words_.size(); ++at) {
            if (word(at) != "block") continue;
            if (at > 0 && is_one_of(word(at - 1), {"per", "every", "each", "whole", "entire",
                                                   "transformer", "other", "second", "the", "a"}))
                continue;
            auto blocks = first_number(at + 1, words_.size());
            if (!blocks) blocks = first_number(0, at);
            if (blocks) return Part{Part::Of::chunk, *blocks};
        }
        return std::nullopt;
    }

    std::vector<std::string> words_;
};

// Megatron's --recompute-modules.
struct Modules {
    bool attention = false;           // its core
    std::vector<std::string> others;  // not modelled
};

// Of "selective (mla_up_proj, mlp)" and "core_attn, mlp"; empty for a text that has another word, or none of these.
std::optional<Modules> modules_in(std::string_view text) {
    std::vector<std::string> items(1);
    for (const char c : folded(text))
        if (std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-')
            items.back() += c;
        else
            items.emplace_back();
    Modules modules;
    bool named = false;
    for (std::string_view item : items) {
        const auto trim = [&] {
            while (item.starts_with('-')) item.remove_prefix(1);
            while (item.ends_with('-')) item.remove_suffix(1);
        };
        trim();
        constexpr std::string_view kKind = "selective";
        if (item.starts_with(kKind)) item.remove_prefix(kKind.size());
        trim();
        if (is_one_of(item, {"", "and", "recompute", "recompute-modules", "modules"})) continue;
        named = true;
        if (is_one_of(item, {"core-attn", "core-attention", "attention", "attn"}))
            modules.attention = true;
        else if (is_one_of(item,
                           {"moe-act", "layernorm", "mla-up-proj", "mlp", "moe", "shared-experts"}))
            modules.others.emplace_back(item);
        else
            return std::nullopt;
    }
    return named ? std::optional(modules) : std::nullopt;
}

class RecomputeReading {
public:
    RecomputeReading(const MeasuredRun& run, const Strategy& strategy,
                     std::vector<Assumption>& assumed)
        : run_(run), strategy_(strategy), assumed_(assumed) {}

    std::optional<Recompute> read() {
        const std::string word = usual_word(RunWord::recompute, run_.recompute);
        if (word == "none") return Recompute{};
        const bool selective = word == "selective";
        for (const std::string& text : {run_.recompute, run_.recompute_note}) {
            const auto part = BlockCounts(text).part();
            // Of FSDP's a part of the blocks is selective too.
            const bool fits =
                part && (!selective || (is_fsdp(strategy_.profile) && part->of == Part::Of::model));
            if (fits) return blocks_of(*part, text);
        }
        if (word.empty()) return std::nullopt;
        if (word == "full" || word == "on") return whole(word);
        if (const auto every = blocks_apart(word)) return Recompute{Kind::full, *every};
        if (selective) return selected();
        if (const auto modules = modules_in(run_.recompute); modules && !is_fsdp(strategy_.profile))
            return of_modules(*modules);
        return of_torchtitan(word);
    }

private:
    void assume(std::string value) { assumed_.push_back({"recompute", std::move(value)}); }

    [[noreturn]] void fail(std::string what) const {
        throw Error("unknown-name", std::move(what),
                    "use \"none\", \"selective\", \"full\", \"every N\", \"block N\" for N layers "
                    "of every chunk of a pipeline, \"N of M layers\", or \"unstated\"");
    }

    std::int64_t layers() const { return require(run_.layers, "layers"); }

    Recompute blocks_of(const Part& part, const std::string& text) {
        if (part.of == Part::Of::model && (part.blocks > part.all || part.all > kMostBlocks))
            fail(fmt::format("recompute \"{}\" has more blocks than there are", text));
        // Both chunks of zb-v are the schedule's own.
        const bool is_v = strategy_.schedule == Schedule::zero_bubble_v;
        const int chunks = strategy_.pp * (is_v ? 2 : strategy_.virtual_stages);
        const int pieces = part.of == Part::Of::chunk ? chunks : strategy_.pp;
        std::int64_t blocks = part.blocks, all = part.all;
        if (part.of != Part::Of::model) {
            all = layers();
            blocks = std::min(blocks, all) * pieces;
        }
        Recompute recompute;
        if (blocks > 0 && blocks >= all) {
            recompute = kWhole;
        } else if (blocks > 0) {
            const std::int64_t common = std::gcd(blocks, all);
            recompute = {Kind::full, static_cast<int>(all / common),
                         static_cast<int>(blocks / common)};
        }
        assume(recompute_text(recompute));
        return recompute;
    }

    Recompute whole(std::string_view word) {
        const BlockCounts counts(run_.recompute);
        const std::int64_t count = counts.count().value_or(1);
        // Megatron's method "uniform" keeps the input of every Nth layer alone.
        if (word == "on" || (counts.is_uniform() && count > 1))
            assume("full");
        else if (count > 1 && count < layers())
            fail(fmt::format("recompute \"{}\" does not say what its layers are a part of",
                             run_.recompute));
        return kWhole;
    }

    // 2 of "every-2", "every-2-blocks" and "every-other-block".
    std::optional<int> blocks_apart(std::string_view word) const {
        constexpr std::string_view kEvery = "every-";
        if (!word.starts_with(kEvery)) return std::nullopt;
        word.remove_prefix(kEvery.size());
        const std::string_view count = word.substr(0, word.find('-'));
        if (count == "other" || count == "second" || count == "2nd") return 2;
        const auto number = parse_integer(count);
        if (!number || *number < 1 || *number > layers()) return std::nullopt;
        return static_cast<int>(*number);
    }

    Recompute selected() {
        if (is_fsdp(strategy_.profile)) {
            const Recompute blocks = recomputed_blocks();
            assume(recompute_text(blocks));
            return blocks;
        }
        for (const std::string& text : {run_.recompute, run_.recompute_note})
            if (const auto modules = modules_in(text)) return of_modules(*modules);
        return Recompute{Kind::selective};
    }

    // Of Megatron's modules only attention's core is modelled, which is recomputed if it is among them.
    Recompute of_modules(const Modules& modules) {
        const Recompute recompute{modules.attention ? Kind::selective : Kind::none};
        if (!modules.others.empty())
            assume(fmt::format("{}: recomputation of {} is not modelled", recompute_text(recompute),
                               fmt::join(modules.others, ", ")));
        return recompute;
    }

    // Which blocks are recomputed: as a note says by the share of the model's work, of which a forward
    // pass is a third, in eighths at the finest; every second block where nothing is said.
    Recompute recomputed_blocks() {
        Recompute nearest{Kind::full, 2};
        const auto share = RunNotes(run_.assumptions).number_before("of a fwd+bwd");
        if (!share || *share <= 0) return nearest;
        assumed_.push_back(
            {kFromNotes, fmt::format("recompute fraction {:g} of a fwd+bwd", *share)});
        const auto error = [&](int blocks, int every) {
            return std::abs(static_cast<double>(blocks) / every - 3 * *share);
        };
        for (int every = 1; every <= 8; ++every)
            for (int blocks = 1; blocks <= every; ++blocks)
                if (error(blocks, every) < error(nearest.blocks, nearest.every))
                    nearest = {Kind::full, every, blocks};
        return nearest;
    }

    // Its selective_ac_option: "op" or every how many blocks.
    Recompute of_torchtitan(std::string_view word) {
        const auto every = parse_integer(word);
        if (word != "op" && !every) fail(fmt::format("unknown recompute \"{}\"", run_.recompute));
        if (!is_fsdp(strategy_.profile))
            fail(
                fmt::format("recompute \"{}\" is a word of torchtitan's, which means nothing "
                            "with {}",
                            run_.recompute, run_.framework));
        if (!every) return selected();
        if (*every < 1 || *every > layers())
            fail(
                fmt::format("recompute \"{}\" is no number of the model's blocks", run_.recompute));
        return Recompute{Kind::full, static_cast<int>(*every)};
    }

    const MeasuredRun& run_;
    const Strategy& strategy_;
    std::vector<Assumption>& assumed_;
};

}  // namespace

std::optional<Recompute> recompute_of(const MeasuredRun& run, const Strategy& strategy,
                                      std::vector<Assumption>& assumed) {
    return RecomputeReading(run, strategy, assumed).read();
}

}  // namespace shardscope
