#include "backends/cuda/nccl/nccl_timing.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <thread>

#include "backends/cuda/device/check.h"
#include "core/error.h"

namespace shardscope::cuda {
namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void fail(const std::string& call, const std::string& why) {
    throw Error("nccl", call + ": " + why, "set NCCL_DEBUG=WARN to see what NCCL says",
                ErrorKind::run_failed);
}

cudaStream_t stream_on(int device) {
    check(cudaSetDevice(device), "cudaSetDevice");
    return make_stream(StreamPriority::ordinary).release();
}

double quantile(std::vector<double>& values, double q) {
    const auto at =
        values.begin() + static_cast<std::ptrdiff_t>(q * static_cast<double>(values.size() - 1));
    std::nth_element(values.begin(), at, values.end());
    return *at;
}

}  // namespace

NcclTiming::NcclTiming(const CudaOptions& options, Communicator& members)
    : members_(members),
      timeout_(options.timeout.value),
      stream_(stream_on(options.device)),
      start_(make_timing_event()),
      end_(make_timing_event()) {
    ncclUniqueId mine{};
    if (members.rank() == 0)
        if (const ncclResult_t result = ncclGetUniqueId(&mine); result != ncclSuccess)
            fail("ncclGetUniqueId", ncclGetErrorString(result));
    std::vector<ncclUniqueId> ids(static_cast<std::size_t>(members.size()));
    members.all_gather(reinterpret_cast<const std::byte*>(&mine),
                       reinterpret_cast<std::byte*>(ids.data()), sizeof mine / 4, DType::int32);
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    const ncclResult_t made =
        ncclCommInitRankConfig(&comm_, members.size(), ids.front(), members.rank(), &config);
    call("ncclCommInitRankConfig", made);
}

NcclTiming::~NcclTiming() {
    if (comm_ != nullptr) ncclCommAbort(comm_);  // nothing is pending that anybody waits for
}

void NcclTiming::call(const char* name, ncclResult_t result) {
    const auto deadline = Clock::now() + timeout_;
    while (result == ncclInProgress) {
        if (ncclCommGetAsyncError(comm_, &result) != ncclSuccess) break;
        if (result != ncclInProgress) break;
        if (Clock::now() > deadline) fail(name, "no answer from the other ranks");
        std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    if (result != ncclSuccess) fail(name, ncclGetErrorString(result));
}

void NcclTiming::wait_for_stream() {
    const auto deadline = Clock::now() + timeout_;
    while (true) {
        if (is_idle(stream_.get())) return;
        ncclResult_t state = ncclSuccess;
        ncclCommGetAsyncError(comm_, &state);
        if (state != ncclSuccess && state != ncclInProgress)
            fail("a collective", ncclGetErrorString(state));
        if (Clock::now() > deadline) fail("a collective", "it does not end");
        std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
}

void NcclTiming::queue(const GpuCollective& c) {
    const auto elements = static_cast<std::size_t>(c.bytes.value) / sizeof(float);
    const std::size_t shard = elements / static_cast<std::size_t>(members_.size());
    const cudaStream_t stream = stream_.get();
    if (!c.kind) {
        call("ncclGroupStart", ncclGroupStart());
        if (members_.rank() == 0) ncclSend(send_.get(), elements, ncclFloat32, 1, comm_, stream);
        if (members_.rank() == 1) ncclRecv(receive_.get(), elements, ncclFloat32, 0, comm_, stream);
        return call("ncclGroupEnd", ncclGroupEnd());
    }
    switch (*c.kind) {
        case CollectiveKind::all_reduce:
            return call("ncclAllReduce", ncclAllReduce(receive_.get(), receive_.get(), elements,
                                                       ncclFloat32, ncclSum, comm_, stream));
        case CollectiveKind::reduce_scatter:
            return call("ncclReduceScatter",
                        ncclReduceScatter(send_.get(), receive_.get(), shard, ncclFloat32, ncclSum,
                                          comm_, stream));
        case CollectiveKind::all_gather:
            return call("ncclAllGather", ncclAllGather(send_.get(), receive_.get(), shard,
                                                       ncclFloat32, comm_, stream));
        case CollectiveKind::all_to_all:
        case CollectiveKind::dispatch:
        case CollectiveKind::combine:
            throw std::logic_error("what experts' ranks exchange is not timed");
    }
}

GpuCollectiveTime NcclTiming::time_one(const GpuCollective& c) {
    std::vector<double> times;
    for (int repeat = -2; repeat < c.repeats; ++repeat) {  // two to warm up
        members_.barrier();
        check(cudaEventRecord(start_.get(), stream_.get()), "cudaEventRecord");
        queue(c);
        check(cudaEventRecord(end_.get(), stream_.get()), "cudaEventRecord");
        wait_for_stream();
        float milliseconds = 0;
        check(cudaEventElapsedTime(&milliseconds, start_.get(), end_.get()),
              "cudaEventElapsedTime");
        if (repeat >= 0) times.push_back(1e-3 * static_cast<double>(milliseconds));
    }
    GpuCollectiveTime time;
    time.median = quantile(times, 0.5);
    time.spread = (quantile(times, 0.75) - quantile(times, 0.25)) / time.median;
    return time;
}

std::vector<GpuCollectiveTime> NcclTiming::time(const std::vector<GpuCollective>& cases) {
    Bytes most;
    for (const GpuCollective& c : cases) most = std::max(most, c.bytes);
    send_ = allocate_device(most);
    receive_ = allocate_device(most);
    std::vector<GpuCollectiveTime> times;
    for (const GpuCollective& c : cases) times.push_back(time_one(c));
    return times;
}

}  // namespace shardscope::cuda
