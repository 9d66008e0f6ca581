#include "cli/launch/hostfile.h"

#include <algorithm>
#include <charconv>
#include <numeric>
#include <optional>

#include <fmt/format.h>

#include "cli/usage_error.h"
#include "core/error.h"
#include "core/yaml_text.h"

namespace shardscope {
namespace {

constexpr std::string_view kBlanks = " \t\r\f\v";
constexpr int kMostSlots = 65'536;
constexpr const char* kEntryFix = "write one host per line as `worker-1 slots=8`";

std::string_view trimmed(std::string_view text) {
    const std::size_t first = text.find_first_not_of(kBlanks);
    if (first == text.npos) return {};
    return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

std::optional<int> whole_number(std::string_view text) {
    int value = 0;
    const char* end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, value);
    if (error != std::errc() || rest != end || value < 0) return std::nullopt;
    return value;
}

// What separates hosts and slots in options and in the engines' arguments is no part of a name.
bool is_host_name(std::string_view word) {
    return !word.empty() && word.front() != '-' && word.find_first_of(",:@\"'") == word.npos;
}

// "name slots=N", then anything; nothing if the line is not of that form.
std::optional<Host> parse_entry(std::string_view line) {
    const std::size_t name_end = line.find_first_of(kBlanks);
    if (name_end == line.npos) return std::nullopt;
    std::string_view rest = trimmed(line.substr(name_end));
    constexpr std::string_view kKey = "slots=";
    if (!rest.starts_with(kKey)) return std::nullopt;
    rest.remove_prefix(kKey.size());
    const auto slots = whole_number(rest.substr(0, rest.find_first_of(kBlanks)));
    if (!slots || *slots < 1 || *slots > kMostSlots || !is_host_name(line.substr(0, name_end)))
        return std::nullopt;
    return Host{std::string(line.substr(0, name_end)), first_slots(*slots), ""};
}

std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> parts;
    for (;;) {
        const std::size_t end = text.find(separator);
        parts.push_back(text.substr(0, end));
        if (end == text.npos) return parts;
        text.remove_prefix(end + 1);
    }
}

struct Selection {
    std::size_t host = 0;    // which of the hostfile
    std::vector<int> slots;  // of it, as named; empty: the host without slots was named
};

std::string known_names(const std::vector<Host>& hosts) {
    std::string names;
    for (const Host& host : hosts) names += (names.empty() ? "" : ", ") + host.name;
    return names;
}

std::size_t find_host(const std::vector<Host>& hosts, std::string_view name,
                      const std::string& file) {
    for (std::size_t i = 0; i < hosts.size(); ++i)
        if (hosts[i].name == name) return i;
    usage_error(fmt::format("Hostname '{}' not found in {}", printable(name), file),
                fmt::format("it has {}", known_names(hosts)));
}

int find_slot(const Host& host, std::string_view word) {
    const auto slot = whole_number(word);
    if (slot && std::binary_search(host.slots.begin(), host.slots.end(), *slot)) return *slot;
    usage_error(fmt::format("No slot '{}' specified on host '{}'{}", printable(word), host.name,
                            host.place.empty() ? "" : fmt::format(" ({})", host.place)),
                fmt::format("it has {} slot{}, 0 to {}", host.ranks(), host.ranks() == 1 ? "" : "s",
                            host.slots.back()));
}

std::vector<Selection> parse_filter(const std::vector<Host>& hosts, const std::string& filter,
                                    const std::string& file) {
    std::vector<Selection> selections;
    for (const std::string_view part : split(filter, '@')) {
        const std::size_t colon = part.find(':');
        Selection selection{find_host(hosts, trimmed(part.substr(0, colon)), file), {}};
        if (colon != part.npos)
            for (const std::string_view word : split(part.substr(colon + 1), ','))
                selection.slots.push_back(find_slot(hosts[selection.host], trimmed(word)));
        selections.push_back(std::move(selection));
    }
    return selections;
}

// Which slots of which host the filter names.
std::vector<std::vector<bool>> named_slots(const std::vector<Host>& hosts,
                                           const std::vector<Selection>& selections) {
    std::vector<std::vector<bool>> named;
    named.reserve(hosts.size());
    for (const Host& host : hosts)
        named.emplace_back(static_cast<std::size_t>(host.slots.back()) + 1, false);
    for (const Selection& selection : selections)
        for (const int slot :
             selection.slots.empty() ? hosts[selection.host].slots : selection.slots)
            named[selection.host][static_cast<std::size_t>(slot)] = true;
    return named;
}

// The hosts with those of their slots that are named (or are not); a host without any is left out.
std::vector<Host> select(const std::vector<Host>& hosts, const std::string& filter,
                         const std::string& file, bool keep_named) {
    const auto named = named_slots(hosts, parse_filter(hosts, filter, file));
    std::vector<Host> selected;
    for (std::size_t i = 0; i < hosts.size(); ++i) {
        Host host = hosts[i];
        std::erase_if(host.slots, [&](int slot) {
            return named[i][static_cast<std::size_t>(slot)] != keep_named;
        });
        if (host.ranks() > 0) selected.push_back(std::move(host));
    }
    if (selected.empty())
        usage_error(fmt::format("--exclude \"{}\" leaves no slot of {}", printable(filter), file),
                    "exclude fewer");
    return selected;
}

}  // namespace

std::vector<int> first_slots(int count) {
    std::vector<int> slots(static_cast<std::size_t>(count));
    std::iota(slots.begin(), slots.end(), 0);
    return slots;
}

std::vector<Host> parse_hostfile(std::string_view text, const std::string& file) {
    std::vector<Host> hosts;
    const auto lines = split(text, '\n');
    for (std::size_t i = 0; i < lines.size(); ++i) {
        const std::string_view line = trimmed(lines[i]);
        if (line.empty() || line.front() == '#') continue;
        const std::string place = fmt::format("{}:{}", file, i + 1);
        auto host = parse_entry(line);
        if (!host) {
            throw Error(
                "hostfile",
                fmt::format("{}: Hostfile contains a bad entry: {}", place, printable(line)),
                kEntryFix);
        }
        for (const Host& other : hosts)
            if (other.name == host->name) {
                throw Error("hostfile",
                            fmt::format("{}: Hostfile contains multiple entries for {}; the first "
                                        "is {}",
                                        place, host->name, other.place),
                            "keep one line with all its slots");
            }
        host->place = place;
        hosts.push_back(std::move(*host));
    }
    if (hosts.empty())
        throw Error("hostfile", fmt::format("{}: Hostfile is empty", file), kEntryFix);
    return hosts;
}

std::vector<Host> include_hosts(const std::vector<Host>& hosts, const std::string& filter,
                                const std::string& file) {
    return select(hosts, filter, file, true);
}

std::vector<Host> exclude_hosts(const std::vector<Host>& hosts, const std::string& filter,
                                const std::string& file) {
    return select(hosts, filter, file, false);
}

}  // namespace shardscope
