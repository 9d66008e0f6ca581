#include "cli/launch/this_host.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "cli/launch/file_descriptor.h"
#include "core/error.h"

namespace shardscope {
namespace {

std::string address_text(const sockaddr& address) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    const void* bytes = nullptr;
    if (address.sa_family == AF_INET)
        bytes = &reinterpret_cast<const sockaddr_in&>(address).sin_addr;
    if (address.sa_family == AF_INET6)
        bytes = &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
    if (!bytes || !inet_ntop(address.sa_family, bytes, text.data(), text.size())) return "";
    return text.data();
}

bool is_own_address(const std::string& name) {
    ifaddrs* list = nullptr;
    if (getifaddrs(&list) != 0) return false;
    const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> owner(list, freeifaddrs);
    for (const ifaddrs* entry = list; entry; entry = entry->ifa_next)
        if (entry->ifa_addr && address_text(*entry->ifa_addr) == name) return true;
    return false;
}

std::string without_domain(const std::string& name) { return name.substr(0, name.find('.')); }

}  // namespace

bool names_this_machine(const std::string& name, const std::string& host) {
    if (name == "localhost" || name.starts_with("127.") || name == host) return true;
    const bool both_full = name.find('.') != name.npos && host.find('.') != host.npos;
    if (!both_full && without_domain(name) == without_domain(host)) return true;
    return is_own_address(name);
}

int count_gpus(const std::map<std::string, std::string>& variables) {
    int count = 0;
    std::error_code unreadable;
    for (const auto& entry : std::filesystem::directory_iterator("/dev", unreadable)) {
        const std::string name = entry.path().filename().string();
        count += name.starts_with("nvidia") && name.size() > 6 &&
                 name.find_first_not_of("0123456789", 6) == name.npos;
    }
    const auto visible = variables.find("CUDA_VISIBLE_DEVICES");
    if (visible == variables.end()) return count;
    const std::string& list = visible->second;
    if (list.empty() || list.starts_with('-')) return 0;
    return std::min(count, 1 + static_cast<int>(std::ranges::count(list, ',')));
}

int free_port() {
    const FileDescriptor file(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (!file || bind(file.get(), generic, size) != 0 ||
        getsockname(file.get(), generic, &size) != 0) {
        throw Error("launch", fmt::format("no free TCP port: {}", std::strerror(errno)),
                    "name one with --master_port", ErrorKind::run_failed);
    }
    return ntohs(address.sin_port);
}

}  // namespace shardscope
