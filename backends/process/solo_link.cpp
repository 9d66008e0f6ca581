#include "backends/process/solo_link.h"

#include <algorithm>
#include <cstring>
#include <mutex>

#include "backends/communicator.h"

namespace shardscope {
namespace {

// Everything is sent to and received from oneself.
class SoloChannel final : public MessageChannel {
public:
    void transfer(std::span<const Message> messages) override {
        auto receive = messages.begin();
        for (const Message& sent : messages) {
            if (!sent.send) continue;
            receive =
                std::find_if(receive, messages.end(), [](const Message& m) { return !m.send; });
            if (receive == messages.end() || receive->bytes != sent.bytes)
                throw Error("exchange-mismatch",
                            "what the rank sends to itself it does not receive", "",
                            ErrorKind::run_failed);
            std::memmove(receive->address, sent.address, static_cast<std::size_t>(sent.bytes));
            ++receive;
        }
    }
};

class SoloLink final : public MessageLink {
public:
    explicit SoloLink(std::string host) : hosts_{std::move(host)} {}
    std::string_view name() const override { return "one process"; }
    Rank rank() const override { return Rank(0); }
    int size() const override { return 1; }
    const std::vector<std::string>& hosts() const override { return hosts_; }
    std::unique_ptr<MessageChannel> open(const std::vector<Rank>&, std::uint32_t) override {
        return std::make_unique<SoloChannel>();
    }
    void abort(const Error& why) noexcept override {
        const std::lock_guard lock(mutex_);
        if (!failure_) failure_ = why;
    }
    std::optional<Error> failure() override {
        const std::lock_guard lock(mutex_);
        return failure_;
    }
    void leave() noexcept override {}

private:
    std::vector<std::string> hosts_;
    std::mutex mutex_;
    std::optional<Error> failure_;
};

}  // namespace

std::unique_ptr<MessageLink> make_solo_link(std::string host) {
    return std::make_unique<SoloLink>(std::move(host));
}

}  // namespace shardscope
