#include "core/data/read_file.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>

namespace shardscope {
namespace {

[[noreturn]] void fail_to_read(const std::string& path, const std::string& message,
                               std::string fix) {
    throw Error("data-file", path + ": " + message, std::move(fix), ErrorKind::io);
}

std::size_t regular_file_size(const std::string& path) {
    namespace fs = std::filesystem;
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    if (status.type() == fs::file_type::not_found)
        fail_to_read(path, "no such file", "name an existing file in the scenario's data section");
    if (status.type() == fs::file_type::none)
        fail_to_read(path, error.message(), "make the file readable");
    if (status.type() == fs::file_type::directory)
        fail_to_read(path, "is a directory", "name a file in it");
    if (status.type() != fs::file_type::regular)
        fail_to_read(path, "is not a regular file", "copy its content to a file");
    const std::uintmax_t size = fs::file_size(path, error);
    if (error) fail_to_read(path, error.message(), "make the file readable");
    return static_cast<std::size_t>(size);
}

}  // namespace

std::vector<std::uint8_t> read_file(const std::string& path) {
    const std::size_t size = regular_file_size(path);
    errno = 0;
    std::ifstream stream(path, std::ios::binary);
    if (!stream) fail_to_read(path, std::strerror(errno), "make the file readable");
    std::vector<std::uint8_t> bytes;
    try {
        bytes.resize(size);
    } catch (const std::exception&) {  // bad_alloc or length_error

        fail_to_read(path, fmt::format("does not fit in memory with {} bytes", size),
                     "use a part of it");
    }
    stream.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(size));
    if (static_cast<std::size_t>(stream.gcount()) != size)
        fail_to_read(path, fmt::format("ends after {} of {} bytes", stream.gcount(), size),
                     "check the disk, or wait until the file is written");
    return bytes;
}

Error data_error(std::string rule, const std::string& path, const std::string& message,
                 std::string fix) {
    return Error(std::move(rule), path + ": " + message, std::move(fix));
}

}  // namespace shardscope
