#include "backends/process/meeting_file.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <random>
#include <string_view>

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <unistd.h>

#include "core/error.h"

namespace shardscope::net {
namespace {

constexpr std::string_view kFirstLine = "shardscope meeting 1";

// 0 for real networks, 1 for those of containers and virtual machines, 2 for loopback.
int distance(const ifaddrs& entry) {
    if ((entry.ifa_flags & IFF_LOOPBACK) != 0) return 2;
    const std::string_view name = entry.ifa_name;
    for (const char* local : {"docker", "br-", "virbr", "cni", "flannel"})
        if (name.starts_with(local)) return 1;
    return 0;
}

std::string address_text(const sockaddr& address) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    const void* bytes = nullptr;
    if (address.sa_family == AF_INET)
        bytes = &reinterpret_cast<const sockaddr_in&>(address).sin_addr;
    if (address.sa_family == AF_INET6) {
        const auto& ipv6 = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
        if (IN6_IS_ADDR_LINKLOCAL(&ipv6)) return "";  // means nothing without its interface
        bytes = &ipv6;
    }
    if (!bytes || !inet_ntop(address.sa_family, bytes, text.data(), text.size())) return "";
    return text.data();
}

[[noreturn]] void fail_on_file(const std::string& path, int error) {
    throw Error("processes",
                "rank 0 cannot write where it listens to " + path + ": " + std::strerror(error),
                "name a file in a folder that every rank can write to and read",
                ErrorKind::run_failed);
}

}  // namespace

std::vector<std::string> own_addresses() {
    ifaddrs* list = nullptr;
    if (getifaddrs(&list) != 0) return {"127.0.0.1"};
    const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> owner(list, freeifaddrs);
    std::array<std::vector<std::string>, 3> by_distance;
    for (const ifaddrs* entry = list; entry; entry = entry->ifa_next) {
        if (!entry->ifa_addr || (entry->ifa_flags & IFF_UP) == 0) continue;
        const std::string text = address_text(*entry->ifa_addr);
        if (!text.empty()) by_distance[static_cast<std::size_t>(distance(*entry))].push_back(text);
    }
    std::vector<std::string> addresses;
    for (auto& part : by_distance) {
        // IPv4 first: rank 0 listens on one family only.
        std::ranges::stable_partition(part, [](auto& a) { return a.find(':') == a.npos; });
        addresses.insert(addresses.end(), part.begin(), part.end());
    }
    return addresses;
}

std::uint32_t random_key() {
    std::random_device source;
    std::uint32_t key = 0;
    while (key == 0) key = static_cast<std::uint32_t>(source());
    return key;
}

void publish(const MeetingFile& meeting, const std::string& path) {
    const std::string draft = path + "." + std::to_string(meeting.key);
    std::ofstream file(draft);
    file << kFirstLine << '\n' << meeting.key << ' ' << meeting.port << '\n';
    for (const std::string& address : meeting.addresses) file << address << '\n';
    file.close();
    if (!file || std::rename(draft.c_str(), path.c_str()) != 0) {
        const int error = errno;
        unlink(draft.c_str());
        fail_on_file(path, error);
    }
}

std::optional<MeetingFile> read_meeting_file(const std::string& path) {
    std::ifstream file(path);
    std::string line;
    MeetingFile meeting;
    if (!std::getline(file, line) || line != kFirstLine) return std::nullopt;
    if (!(file >> meeting.key >> meeting.port)) return std::nullopt;
    while (file >> line) meeting.addresses.push_back(line);
    return meeting;
}

void withdraw(const MeetingFile& meeting, const std::string& path) noexcept {
    try {
        const auto there = read_meeting_file(path);
        if (there && there->key == meeting.key) unlink(path.c_str());
    } catch (...) {  // a file that stays behind is told apart by its key
    }
}

}  // namespace shardscope::net
