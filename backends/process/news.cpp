#include "backends/process/news.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "backends/communicator.h"

namespace shardscope {
namespace {

template <std::size_t N>
void copy_text(char (&to)[N], const std::string& from) {
    std::memcpy(to, from.data(), std::min(from.size(), N - 1));
}

int worth(const Error& error) {
    if (error.rule == kCommunicationAborted) return 0;
    return error.rule == kRankLost ? 1 : 2;
}

}  // namespace

bool says_more(const Error& a, const Error& b) { return worth(a) > worth(b); }
bool is_cause(const Error& error) { return worth(error) == 2; }

News News::of(const Error& error) {
    News news;
    news.kind = Kind::failure;
    copy_text(news.rule, error.rule);
    copy_text(news.message, error.message);
    copy_text(news.fix, error.fix);
    return news;
}

Error News::error() const { return Error(rule, message, fix, ErrorKind::run_failed); }

}  // namespace shardscope
