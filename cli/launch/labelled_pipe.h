// What a rank prints, passed on a whole line at a time with the rank's label in front.
#pragma once

#include <ostream>
#include <string>

#include "cli/launch/file_descriptor.h"

namespace shardscope {

class LabelledPipe {
public:
    // Throws Error "launch" where the system has no pipe left. `out` must outlive this.
    LabelledPipe(std::string label, std::ostream& out);

    // The end that the rank gets; closed by close_write_end() once it has it.
    int write_end() const { return write_.get(); }
    void close_write_end() { write_.reset(); }

    int read_end() const { return read_.get(); }
    bool open() const { return static_cast<bool>(read_); }
    // Passes on what has arrived, without waiting; closes at the end of the stream.
    void forward();
    // Passes on what is left, a last line without its end too.
    void finish();

private:
    void pass_lines();

    std::string label_;
    std::ostream& out_;
    FileDescriptor read_, write_;
    std::string pending_;  // the beginning of a line
};

}  // namespace shardscope
