#include "cli/launch/slurm.h"

#include <cctype>
#include <charconv>

namespace shardscope {
namespace {

std::optional<int> positive_number(const std::map<std::string, std::string>& variables,
                                   const char* name) {
    const auto found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    int value = 0;  // "8(x2)" is 8 on each of 2 nodes
    const std::string& text = found->second;
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || value < 1) return std::nullopt;
    return value;
}

bool is_digit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }

// The digits that `text` begins with, without leading zeros.
std::string_view leading_number(std::string_view text) {
    std::size_t end = 0;
    while (end < text.size() && is_digit(text[end])) ++end;
    text = text.substr(0, end);
    while (text.size() > 1 && text.front() == '0') text.remove_prefix(1);
    return text;
}

std::string_view behind_number(std::string_view text) {
    while (!text.empty() && is_digit(text.front())) text.remove_prefix(1);
    return text;
}

}  // namespace

std::string SlurmAllocation::first_node() const {
    const std::size_t end = node_list.find_first_of(",[");
    std::string first = node_list.substr(0, end);
    if (end == node_list.npos || node_list[end] == ',') return first;
    const std::size_t number_end = node_list.find_first_of(",-]", end + 1);
    first += node_list.substr(end + 1, number_end - end - 1);
    const std::size_t close = node_list.find(']', end);
    if (close == node_list.npos) return first;
    const std::string rest = node_list.substr(close + 1);  // "rack[1-2]-node": a suffix
    return first + rest.substr(0, rest.find(','));
}

std::optional<SlurmAllocation> slurm_allocation(
    const std::map<std::string, std::string>& variables) {
    if (!variables.contains("SLURM_JOB_ID")) return std::nullopt;
    SlurmAllocation allocation;
    allocation.nodes = positive_number(variables, "SLURM_JOB_NUM_NODES").value_or(1);
    if (const auto list = variables.find("SLURM_JOB_NODELIST"); list != variables.end())
        allocation.node_list = list->second;
    allocation.tasks_per_node = positive_number(variables, "SLURM_NTASKS_PER_NODE");
    return allocation;
}

bool before_in_slurm(std::string_view a, std::string_view b) {
    while (!a.empty() && !b.empty()) {
        if (is_digit(a.front()) && is_digit(b.front())) {
            const auto x = leading_number(a), y = leading_number(b);
            if (x.size() != y.size()) return x.size() < y.size();
            if (x != y) return x < y;
            a = behind_number(a);
            b = behind_number(b);
            continue;
        }
        if (a.front() != b.front()) return a.front() < b.front();
        a.remove_prefix(1);
        b.remove_prefix(1);
    }
    return a.empty() && !b.empty();
}

}  // namespace shardscope
