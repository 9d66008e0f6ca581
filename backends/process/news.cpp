#include "backends/process/news.h"

#include <string>

#include "backends/communicator.h"
#include "backends/process/fixed_text.h"

namespace shardscope {
namespace {

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
