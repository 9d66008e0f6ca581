// What a run's `assumptions` say in words, for which there is no column: "torch.compile; no async TP, at 500 W power
// limit".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace shardscope {

class RunNotes {
public:
    // Words in any case, with '-', '_' or a space between them.
    explicit RunNotes(std::string_view text);

    // `denied`: there, but behind "no", "not", "without" … in the same part of a sentence, or before "off", "disabled",
    // "=False", "not used" …. What is said not to be stated, and what is nowhere, is not `said`.
    enum class Said { nothing, yes, denied };
    // Of a name's words, the last of which may go on: "hybrid shard" is said by "hybrid-sharded".
    Said said(std::string_view words) const;
    bool affirms(std::string_view words) const { return said(words) == Said::yes; }

    // The number in front of the words, as 0.13 in "0.13 of a fwd+bwd"; empty without one, or where it is denied.
    std::optional<double> number_before(std::string_view words) const;
    // The positive whole number behind words, by itself or behind a space, "=", ":" or "of": 1 of "ETP1" and "ETP=1", 64 of
    // "shard group of 64".
    std::optional<std::int64_t> number_after(std::string_view words) const;

    // "500 W power limit", "power limit of 500 W"; watts.
    std::optional<double> power_limit() const;
    // "HBM3 at 2.4 TB/s", "2.4 TB/s memory"; TB/s. Rates of links, of hosts and of storage are none of it.
    std::optional<double> memory_bandwidth() const;

private:
    using Place = std::size_t;  // of a word
    bool matches(Place at, const std::vector<std::string>& words) const;
    bool is_denied_before(Place at) const;
    Said said_behind(Place at) const;
    bool ends_at(Place at) const;
    std::optional<double> quantity_ending(Place at, std::string_view unit) const;
    std::optional<double> quantity_beginning(Place at, std::string_view unit) const;
    bool is_of_memory(Place first, Place last) const;
    std::string_view word(Place at) const;

    std::vector<std::string>
        words_;  // in lower case; ";" ends a part of a sentence; "(", ":" and "=" as they are
};

}  // namespace shardscope
