#include "core/validation/run_notes.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <span>

#include "core/yaml_number.h"

namespace shardscope {
namespace {

bool is_one_of(std::string_view word, std::span<const std::string_view> words) {
    return std::ranges::find(words, word) != words.end();
}

bool is_numeral(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }
bool is_letter(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; }

bool is_negation(std::string_view word) {
    constexpr auto kNegations = std::to_array<std::string_view>(
        {"no", "not", "non", "without", "w/o", "never", "neither", "nor", "lacks", "excluding"});
    return is_one_of(word, kNegations) || word.ends_with("n't");
}

// What "not" may say of the words in front of it.
bool is_of_knowledge(std::string_view word) {
    constexpr auto kWords =
        std::to_array<std::string_view>({"stated", "known", "given", "reported", "said", "clear"});
    return is_one_of(word, kWords);
}
bool is_of_use(std::string_view word) {
    constexpr auto kWords = std::to_array<std::string_view>(
        {"used", "enabled", "on", "active", "applied", "set", "in", "supported", "available"});
    return is_one_of(word, kWords);
}

// Words between a name and what is said of it.
bool is_copula(std::string_view word) {
    constexpr auto kWords = std::to_array<std::string_view>(
        {"is", "was", "are", "were", "set", "to", "of", "at", ":", "=", "("});
    return is_one_of(word, kWords);
}

// Words of a note. A '.' ends a sentence where neither a letter nor a digit follows: it joins "2.4", and "torch.compile"
// is two words.
std::vector<std::string> note_words(std::string_view text) {
    std::vector<std::string> words(1);
    const auto mark = [&](std::string_view what) {
        if (words.back().empty())
            words.back() = what;
        else
            words.emplace_back(what);
        words.emplace_back();
    };
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        const char next = i + 1 < text.size() ? text[i + 1] : ' ';
        const bool joins = c == '.' && is_numeral(next);
        const bool parts = c == '-' || c == '_' || c == ' ' || c == '\t' || c == '"' ||
                           (c == '.' && is_letter(next));
        if (c == ';' || c == ',' || c == ')' || (c == '.' && !joins && !parts))
            mark(";");
        else if (c == '(' || c == ':' || c == '=')
            mark(std::string_view(&c, 1));
        else if (!parts)
            words.back() += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
        else if (!words.back().empty())
            words.emplace_back();
    }
    if (words.back().empty()) words.pop_back();
    return words;
}

}  // namespace

RunNotes::RunNotes(std::string_view text) : words_(note_words(text)) {}

std::string_view RunNotes::word(Place at) const {
    return at < words_.size() ? std::string_view(words_[at]) : ";";
}

bool RunNotes::ends_at(Place at) const { return word(at) == ";"; }

bool RunNotes::matches(Place at, const std::vector<std::string>& words) const {
    for (std::size_t i = 0; i < words.size(); ++i) {
        const bool last = i + 1 == words.size();
        if (last ? !word(at + i).starts_with(words[i]) : word(at + i) != words[i]) return false;
    }
    return true;
}

// "no torch.compile and async TP" denies both; "compile not stated and async TP" neither, as its "not" is of what is
// before it.
bool RunNotes::is_denied_before(Place at) const {
    const auto begins = [](std::string_view word) {
        return word == ";" || word == "(" || word == ":" || word == "but";
    };
    while (at-- > 0) {
        const std::string_view here = words_[at], next = words_[at + 1];
        if (begins(here)) return false;
        if (here.starts_with("disabl") && (at == 0 || begins(words_[at - 1]))) return true;
        const bool of_before =
            is_of_knowledge(next) || (is_of_use(next) && next != "in") || next == "only";
        if (is_negation(here) && !of_before) return true;
    }
    return false;
}

RunNotes::Said RunNotes::said_behind(Place at) const {
    constexpr auto kOff = std::to_array<std::string_view>({"off", "disabled", "false", "unused"});
    constexpr auto kOpen = std::to_array<std::string_view>({"unstated", "unknown", "?"});
    while (is_copula(word(at))) ++at;
    const std::string_view first = word(at), next = word(at + 1);
    if (is_one_of(first, kOff)) return Said::denied;
    if (is_one_of(first, kOpen)) return Said::nothing;
    if (first == "0" && ends_at(at + 1)) return Said::denied;
    // "async TP (not torch.compile)" denies what follows.
    if (!is_negation(first) && first != "none") return Said::yes;
    if (is_of_knowledge(next)) return Said::nothing;
    return ends_at(at + 1) || is_of_use(next) ? Said::denied : Said::yes;
}

RunNotes::Said RunNotes::said(std::string_view name) const {
    const std::vector<std::string> words = note_words(name);
    Said said = Said::nothing;
    for (Place at = 0; at < words_.size(); ++at) {
        if (!matches(at, words)) continue;
        const Said here = is_denied_before(at) ? Said::denied : said_behind(at + words.size());
        if (here == Said::yes) return here;
        if (here == Said::denied) said = here;
    }
    return said;
}

std::optional<double> RunNotes::number_before(std::string_view name) const {
    const std::vector<std::string> words = note_words(name);
    for (Place at = 1; at < words_.size(); ++at) {
        if (!matches(at, words) || is_denied_before(at)) continue;
        if (const auto number = parse_number(words_[at - 1])) return number;
    }
    return std::nullopt;
}

std::optional<std::int64_t> RunNotes::number_after(std::string_view name) const {
    std::vector<std::string> first = note_words(name);
    const std::string sought = first.back();
    first.pop_back();
    constexpr std::int64_t kMost = 1'000'000;  // ranks
    for (Place at = 0; at + first.size() < words_.size(); ++at) {
        const auto here = words_.begin() + static_cast<std::ptrdiff_t>(at);
        if (!std::equal(first.begin(), first.end(), here) || is_denied_before(at)) continue;
        Place behind = at + first.size();
        std::string_view digits = words_[behind++];
        if (!digits.starts_with(sought)) continue;
        digits.remove_prefix(sought.size());
        while (word(behind) == "=" || word(behind) == ":" || word(behind) == "of") ++behind;
        if (digits.empty()) digits = word(behind);
        if (digits.empty() || !std::ranges::all_of(digits, is_numeral)) continue;
        const auto number = parse_integer(digits);
        if (number && *number > 0 && *number <= kMost) return number;
    }
    return std::nullopt;
}

// "2.4 TB/s" and "2.4TB/s", the last word of which is here.
std::optional<double> RunNotes::quantity_ending(Place at, std::string_view unit) const {
    const std::string_view last = word(at);
    if (!last.ends_with(unit)) return std::nullopt;
    const std::string_view joined = last.substr(0, last.size() - unit.size());
    if (joined.empty() && at == 0) return std::nullopt;
    const auto number = parse_number(joined.empty() ? word(at - 1) : joined);
    return number && *number > 0 ? number : std::nullopt;
}

std::optional<double> RunNotes::quantity_beginning(Place at, std::string_view unit) const {
    if (const auto joined = quantity_ending(at, unit)) return joined;
    return word(at + 1) == unit ? quantity_ending(at + 1, unit) : std::nullopt;
}

std::optional<double> RunNotes::power_limit() const {
    const std::vector<std::string> name = note_words("power limit");
    for (Place at = 0; at < words_.size(); ++at) {
        if (!matches(at, name) || is_denied_before(at)) continue;
        for (const std::string_view unit : {"w", "watt", "watts"})
            if (at > 0)
                if (const auto before = quantity_ending(at - 1, unit)) return before;
        Place behind = at + name.size();
        while (is_copula(word(behind))) ++behind;
        for (const std::string_view unit : {"w", "watt", "watts"})
            if (const auto after = quantity_beginning(behind, unit)) return after;
    }
    return std::nullopt;
}

// Whether a rate, which is the words from `first` to `last`, is that of a GPU's memory: by the word beside it.
bool RunNotes::is_of_memory(Place first, Place last) const {
    const auto is_memory = [&](Place at) {
        return word(at) == "memory" || word(at).starts_with("hbm") || word(at).starts_with("gddr");
    };
    constexpr auto kLinks = std::to_array<std::string_view>(
        {"nvl", "nvswitch", "switch", "link", "network", "storage", "host", "cpu", "system"});
    constexpr auto kOthers = std::to_array<std::string_view>({"host", "cpu", "system"});
    Place behind = last + 1;
    if (word(behind) == "of") ++behind;
    if (is_memory(behind)) return true;
    for (const std::string_view link : kLinks)
        if (word(behind).starts_with(link)) return false;
    // "HBM3 80 GB bandwidth of 3.35 TB/s"
    const auto is_between = [&](Place at) {
        constexpr auto kBetween = std::to_array<std::string_view>(
            {"bandwidth", "with", "has", "peak", "about", "up", "gb", "gib"});
        const std::string_view between = word(at);
        return is_copula(between) || is_one_of(between, kBetween) || is_numeral(between.front());
    };
    Place before = first;
    while (before > 0 && is_between(before - 1)) --before;
    if (before == 0 || !is_memory(before - 1)) return false;
    return before < 2 || !is_one_of(word(before - 2), kOthers);
}

std::optional<double> RunNotes::memory_bandwidth() const {
    constexpr std::string_view kUnit = "tb/s";
    for (Place at = 0; at < words_.size(); ++at) {
        const auto rate = quantity_ending(at, kUnit);
        const Place first = words_[at] == kUnit ? at - 1 : at;
        if (rate && !is_denied_before(first) && is_of_memory(first, at)) return rate;
    }
    return std::nullopt;
}

}  // namespace shardscope
