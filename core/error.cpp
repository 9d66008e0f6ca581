#include "core/error.h"

namespace shardscope {

Error::Error(std::string rule_, std::string message_, std::string fix_, ErrorKind kind_)
    : kind(kind_), rule(std::move(rule_)), message(std::move(message_)), fix(std::move(fix_)) {
    text_ = rule + ": " + message;
    if (!fix.empty()) text_ += "; " + fix;
}

int Error::exit_code() const {
    switch (kind) {
        case ErrorKind::run_failed:
            return 1;
        case ErrorKind::io:
            return 2;
        case ErrorKind::invalid_input:
            break;
    }
    return 3;
}

}  // namespace shardscope
