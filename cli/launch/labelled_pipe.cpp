#include "cli/launch/labelled_pipe.h"

#include <array>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>

#include "core/error.h"

namespace shardscope {
namespace {

constexpr std::size_t kLongestLine = 64 * 1024;  // what is longer is passed on in pieces

}  // namespace

LabelledPipe::LabelledPipe(std::string label, std::ostream& out)
    : label_(std::move(label)), out_(out) {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) {
        throw Error("launch", fmt::format("no pipe for a rank's output: {}", std::strerror(errno)),
                    "use fewer ranks, or raise `ulimit -n`", ErrorKind::run_failed);
    }
    read_ = FileDescriptor(ends[0]);
    write_ = FileDescriptor(ends[1]);
    fcntl(read_.get(), F_SETFL, O_NONBLOCK);
}

void LabelledPipe::forward() {
    std::array<char, 16 * 1024> buffer{};
    while (read_) {
        const ssize_t count = read(read_.get(), buffer.data(), buffer.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0 && errno == EAGAIN) break;
        if (count <= 0) {
            finish();
            return;
        }
        pending_.append(buffer.data(), static_cast<std::size_t>(count));
        pass_lines();
    }
}

void LabelledPipe::pass_lines() {
    const std::size_t end = pending_.rfind('\n');
    const std::size_t whole = end != pending_.npos              ? end + 1
                              : pending_.size() >= kLongestLine ? pending_.size()
                                                                : 0;
    std::string text;
    for (std::size_t at = 0; at < whole;) {
        const std::size_t next = std::min(pending_.find('\n', at), whole - 1) + 1;
        text += label_;
        text.append(pending_, at, next - at);
        at = next;
    }
    if (whole == 0) return;
    if (text.back() != '\n') text += '\n';
    pending_.erase(0, whole);
    out_ << text << std::flush;
}

void LabelledPipe::finish() {
    read_.reset();
    if (pending_.empty()) return;
    pending_ += '\n';
    pass_lines();
}

}  // namespace shardscope
