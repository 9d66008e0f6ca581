// The one exception type of the project.
//
// Thrown by parsing, validation, lowering and by checks around library calls; caught in main, in
// the GUI's worker and at a rank's top. Never thrown for "does not fit", which is a verdict.
#pragma once

#include <exception>
#include <string>

namespace shardscope {

// What kind of failure it is; decides the exit code (DESIGN: 1 run failed, 2 usage or I/O,
// 3 invalid input).
enum class ErrorKind { invalid_input, io, run_failed };

struct Error : std::exception {
    ErrorKind kind = ErrorKind::invalid_input;
    std::string rule;  // short stable name, e.g. "world-size"
    std::string
        message;  // one sentence with place ("file.yaml:12:5: …" where there is one) and arithmetic
    std::string fix;  // what would work

    Error(std::string rule_, std::string message_, std::string fix_,
          ErrorKind kind_ = ErrorKind::invalid_input);

    // "rule: message; fix" – what is printed.
    const char* what() const noexcept override { return text_.c_str(); }
    int exit_code() const;

private:
    std::string text_;
};

}  // namespace shardscope
