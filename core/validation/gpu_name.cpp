#include "core/validation/gpu_name.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "core/nearest.h"

namespace shardscope {
namespace {

bool is_number(std::string_view word) {
    return !word.empty() && word.find_first_not_of("0123456789") == std::string_view::npos;
}

// Of "8x" in "8xH100" and "8x H100": how many there are is another column's.
std::size_t length_of_count(std::string_view word) {
    const std::size_t digits = std::min(word.find_first_not_of("0123456789"), word.size());
    return digits > 0 && digits < word.size() && word[digits] == 'x' ? digits + 1 : 0;
}

// The words of a GPU's name: "A100-SXM4-80GB" has three, "RTX4090 (24 GB)" too.
std::vector<std::string> words_of(std::string_view name) {
    std::vector<std::string> words(1);
    for (const char c : folded(name))
        if (std::isalnum(static_cast<unsigned char>(c)) != 0)
            words.back() += c;
        else if (!words.back().empty())
            words.emplace_back();
    if (words.back().empty()) words.pop_back();
    for (std::size_t i = 0; i < words.size(); ++i) {
        constexpr std::string_view kSeries = "rtx";
        if (words[i].size() > kSeries.size() && words[i].starts_with(kSeries)) {
            words.insert(words.begin() + static_cast<std::ptrdiff_t>(i) + 1,
                         words[i].substr(kSeries.size()));
            words[i] = kSeries;
        }
        if (i > 0 && (words[i] == "gb" || words[i] == "gib")) {
            words[i - 1] += "gb";
            words.erase(words.begin() + static_cast<std::ptrdiff_t>(i--));
        }
    }
    if (words.size() > 2 && words[1] == "x" && is_number(words[0]))
        words.erase(words.begin(), words.begin() + 2);
    for (std::string& word : words) {
        word.erase(0, length_of_count(word));
        for (const std::string_view unit : {"gib", "g"})
            if (word.ends_with(unit) && is_number(word.substr(0, word.size() - unit.size())))
                word.replace(word.size() - unit.size(), unit.size(), "gb");
    }
    std::erase(words, "");
    return words;
}

bool has(const std::vector<std::string>& words, std::string_view word) {
    return std::ranges::find(words, word) != words.end();
}

bool is_capacity(std::string_view word) {
    return word.size() > 2 && word.ends_with("gb") && is_number(word.substr(0, word.size() - 2));
}

// What tells GPUs of one name apart, "sxm4" as "sxm"; empty for other words.
std::string_view part_of(std::string_view word) {
    for (const std::string_view form : {"sxm", "pcie", "nvl72", "nvl"})
        if (word.starts_with(form)) return form;
    return is_capacity(word) ? word : "";
}

// Words that name no GPU by themselves.
bool is_ornament(std::string_view word) {
    constexpr auto kOrnaments = std::to_array<std::string_view>(
        {"nvidia",   "amd",        "tesla", "geforce", "rtx",       "instinct",  "gpu",   "gpus",
         "dgx",      "hgx",        "oam",   "hbm2",    "hbm2e",     "hbm3",      "hbm3e", "nvlink",
         "nvswitch", "generation", "grace", "hopper",  "blackwell", "superchip", "gcd",   "gcds"});
    return std::ranges::find(kOrnaments, word) != kOrnaments.end();
}

}  // namespace

GpuName::GpuName(std::string_view text) : words_(words_of(text)) {}

std::optional<int> GpuName::words_apart(const GpuName& entry) const {
    for (const std::string& word : entry.words_)
        if (part_of(word).empty() && !is_ornament(word) && !has(words_, word)) return std::nullopt;
    int apart = 0;
    for (const std::string& word : words_) {
        if (has(entry.words_, word) || is_ornament(word)) continue;
        const std::string_view part = part_of(word);
        if (part.empty()) return std::nullopt;
        apart += has(entry.words_, part) ? 0 : 1;
    }
    return apart;
}

std::vector<std::string> GpuName::series() const {
    std::vector<std::string> all;
    for (const std::string& word : words_)
        all.push_back(word.substr(0, word.find_first_of("0123456789")));
    return all;
}

bool GpuName::is_die() const { return has(words_, "gcd") || has(words_, "gcds"); }

bool GpuName::is_board() const {
    return std::ranges::any_of(words_, [](std::string_view word) {
        return part_of(word) == "pcie" || part_of(word) == "nvl";
    });
}

}  // namespace shardscope
