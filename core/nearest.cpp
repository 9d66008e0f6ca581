#include "core/nearest.h"

#include <algorithm>
#include <cctype>
#include <vector>

#include <fmt/format.h>

namespace shardscope {
namespace {

// Optimal string alignment distance (Damerau-Levenshtein without repeated edits), three rows.
std::size_t edit_distance(const std::string& a, const std::string& b) {
    std::vector<std::size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t replace = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
            row[j] = std::min({replace, last[j] + 1, row[j - 1] + 1});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                row[j] = std::min(row[j], before[j - 2] + 1);
            }
        }
        std::swap(before, last);
        std::swap(last, row);
    }
    return last[b.size()];
}

// The candidates that begin with the word.
std::vector<std::string_view> completions(std::string_view word,
                                          std::span<const std::string_view> candidates) {
    constexpr std::size_t kShortest = 3;
    std::vector<std::string_view> all;
    for (const std::string_view candidate : candidates)
        if (word.size() >= kShortest && folded(candidate).starts_with(folded(word)))
            all.push_back(candidate);
    return all;
}

// "use one of a, b or c"
std::string one_of(std::span<const std::string_view> names) {
    const std::vector<std::string> all(names.begin(), names.end());
    return (all.size() > 1 ? "use one of " : "use ") + join_or(all);
}

}  // namespace

std::string folded(std::string_view word) {
    std::string result(word);
    for (char& c : result)
        c = c == '_' || c == ' ' ? '-'
                                 : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return result;
}

std::optional<std::string_view> nearest_name(std::string_view word,
                                             std::span<const std::string_view> candidates) {
    constexpr std::size_t kLongest = 64;  // a longer word is no misspelt name
    if (word.size() > kLongest) return std::nullopt;
    if (const auto begun = completions(word, candidates); begun.size() == 1) return begun.front();
    std::optional<std::string_view> best;
    std::size_t limit = std::max<std::size_t>(1, word.size() / 3) + 1;
    for (const std::string_view candidate : candidates) {
        const std::size_t distance = edit_distance(folded(word), folded(candidate));
        if (distance >= limit || distance >= candidate.size()) continue;
        limit = distance;
        best = candidate;
    }
    return best;
}

std::string suggest_name(std::string_view word, std::span<const std::string_view> candidates) {
    constexpr std::size_t kMostBegun = 5;  // more than these help nobody
    const auto begun = completions(word, candidates);
    if (begun.size() > 1 && begun.size() <= kMostBegun) return one_of(begun);
    if (const auto near = nearest_name(word, candidates)) return fmt::format("use \"{}\"", *near);
    if (candidates.empty()) return "remove it";
    return one_of(candidates);
}

std::string join_or(std::span<const std::string> words) {
    std::string result;
    for (std::size_t i = 0; i < words.size(); ++i) {
        if (i > 0) result += i + 1 == words.size() ? " or " : ", ";
        result += words[i];
    }
    return result;
}

}  // namespace shardscope
