// An open file that closes itself.
#pragma once

#include <utility>

#include <unistd.h>

namespace shardscope {

class FileDescriptor {
public:
    explicit FileDescriptor(int file = -1) : file_(file) {}
    FileDescriptor(FileDescriptor&& other) noexcept : file_(std::exchange(other.file_, -1)) {}
    FileDescriptor& operator=(FileDescriptor&& other) noexcept {
        std::swap(file_, other.file_);
        return *this;
    }
    ~FileDescriptor() { reset(); }

    int get() const { return file_; }
    explicit operator bool() const { return file_ >= 0; }
    void reset() {
        if (file_ >= 0) close(file_);
        file_ = -1;
    }

private:
    int file_;
};

}  // namespace shardscope
