#include "cli/output_file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/error.h"

namespace shardscope {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail_to_write(const std::string& path, const std::string& why, const char* fix) {
    throw Error("output", fmt::format("{}: cannot write: {}", path, why), fix, ErrorKind::io);
}

[[noreturn]] void fail_to_write(const std::string& path, int code) {
    const bool full = code == ENOSPC || code == EDQUOT;
    fail_to_write(
        path, std::strerror(code),
        full ? "free some space" : "name a file in a folder that exists and that you may write to");
}

// An open file that closes and, unless kept, disappears.
class PendingFile {
public:
    PendingFile(std::string path, const std::string& shown) : path_(std::move(path)) {
        file_ = open(path_.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
        if (file_ < 0) fail_to_write(shown, errno);
    }
    PendingFile(const PendingFile&) = delete;
    PendingFile& operator=(const PendingFile&) = delete;
    ~PendingFile() {
        if (file_ >= 0) close(file_);
        if (!path_.empty()) unlink(path_.c_str());
    }
    int descriptor() const { return file_; }
    void rename_to(const std::string& target, const std::string& shown) {
        const int file = std::exchange(file_, -1);
        if (close(file) != 0) fail_to_write(shown, errno);  // network file systems report here
        if (rename(path_.c_str(), target.c_str()) != 0) fail_to_write(shown, errno);
        path_.clear();
    }

private:
    std::string path_;
    int file_ = -1;
};

void write_all(int file, std::string_view text, const std::string& shown) {
    while (!text.empty()) {
        const ssize_t written = write(file, text.data(), text.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) fail_to_write(shown, errno);
        text.remove_prefix(static_cast<std::size_t>(written));
    }
}

// Links are followed, so that the file behind one is replaced and not the link.
std::string target_of(const std::string& path) {
    std::error_code error;
    const fs::path resolved = fs::canonical(path, error);
    return error ? path : resolved.string();
}

std::string pending_name(const std::string& target) {
    return fmt::format("{}.{}.tmp", target, getpid());
}

bool is_device(const std::string& path) {
    struct stat status {};
    if (stat(path.c_str(), &status) != 0) return false;
    if (S_ISDIR(status.st_mode)) fail_to_write(path, EISDIR);
    return !S_ISREG(status.st_mode);
}

}  // namespace

bool same_file(const std::string& a, const std::string& b) {
    std::error_code error;
    const auto resolved = [&](const std::string& path) {
        return fs::weakly_canonical(fs::absolute(path, error), error);
    };
    const auto first = resolved(a), second = resolved(b);
    return !error && first == second;
}

void check_writable(const std::string& path) {
    if (path.empty()) fail_to_write(path, ENOENT);
    const bool device = is_device(path);
    if ((device || access(path.c_str(), F_OK) == 0) && access(path.c_str(), W_OK) != 0)
        fail_to_write(path, errno);
    if (!device) PendingFile(pending_name(target_of(path)), path);
}

void write_atomically(const std::string& path, const std::string& text) {
    if (is_device(path)) {
        const int file = open(path.c_str(), O_WRONLY | O_CLOEXEC);
        if (file < 0) fail_to_write(path, errno);
        write_all(file, text, path);
        if (close(file) != 0) fail_to_write(path, errno);
        return;
    }
    const std::string target = target_of(path);
    PendingFile pending(pending_name(target), path);
    write_all(pending.descriptor(), text, path);
    pending.rename_to(target, path);
}

}  // namespace shardscope
