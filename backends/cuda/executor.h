// Executes one rank's instructions on a GPU.
//
// Every stream of the program is a CUDA stream; what a step queues runs while the host goes on. Steps are
// executed in one of three ways: instruction by instruction, the same with a timing event around each, or
// from recordings, where runs of kernels are CUDA graphs, captured once per body and slot. Graphs hold
// kernels of one stream only; events are recorded and waited for between them, so that overlap and order
// are those of the program.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <utility>
#include <variant>
#include <vector>

#include "backends/cuda/attention/attention.h"
#include "backends/cuda/batch_stage.h"
#include "backends/cuda/device/handles.h"
#include "backends/cuda/kernels/launch.h"
#include "backends/cuda/matmul/linear.h"
#include "backends/cuda/nccl/communicators.h"
#include "backends/cuda/progress_marks.h"
#include "backends/cuda/step_timer.h"
#include "backends/executor.h"
#include "backends/span_log.h"
#include "core/error.h"

namespace shardscope::cuda {

enum class StepMode {
    direct,    // every instruction is queued by itself
    traced,    // the same, with its times
    recorded,  // from recordings, which the first execution of a task makes
};

struct ExecutorOptions {
    DeviceShape device;
    int data_index = 0, tensor_index = 0;  // of the rank in its groups
    // Whether collectives of the compute stream are part of graphs, or queued between them.
    bool captures_collectives = true;
    Seconds timeout{60};  // without any progress, until the rank is given up as stuck
    // What has gone wrong elsewhere; asked while the host waits. May be empty.
    std::function<std::optional<Error>()> failure;
};

// One thread at a time. What is passed by reference must outlive it.
class CudaExecutor final : public Executor {
public:
    CudaExecutor(const RoleProgram& role, BatchStage& batches, Linears& linears,
                 Attentions& attentions, NcclCommunicators& communicators,
                 const ExecutorOptions& options);

    // Bytes of device memory that it allocates: scratch of every stream with kernels, step words.
    static Bytes device_bytes(const RoleProgram& role);

    // Chooses how a linear layer is multiplied; other kernels need nothing. Writes to the operands, and
    // waits for the device.
    void prepare(Stream stream, const Compute& instruction, const Addresses& operands);

    // "compute in backward, linear of layer 3; reduce in backward, reduce_scatter of layer 5": what every
    // stream came to last.
    std::string place() const;

    // Before the tasks of a step. In traced mode synchronize() tells `log` the times.
    void begin_step(std::int64_t step, StepMode mode, SpanLog* log = nullptr);

    bool begin_task(BodyId body, std::int32_t slot, const StepContext& context) override;
    void compute(Stream stream, const Compute& instruction, const Addresses& operands,
                 const StepContext& context) override;
    void collective(Stream stream, const Collective& instruction, const std::byte* send,
                    std::byte* recv) override;
    void exchange(Stream stream, const Exchange& instruction,
                  std::span<std::byte* const> addresses) override;
    void record(Stream stream, EventId event) override;
    void wait(Stream stream, EventId event) override;
    void copy_scalar(Stream stream, const std::byte* value, double* destination) override;
    void synchronize() override;

private:
    // What a recording is made of.
    struct Graph {
        Stream stream;
        GraphExecHandle graph;
    };
    struct Load {
        Stream stream;
        const Compute* load;
        Addresses operands;
    };
    struct Collect {
        Stream stream;
        const Collective* collective;
        const std::byte* send;
        std::byte* recv;
    };
    struct Transfers {
        Stream stream;
        const Exchange* exchange;
        std::vector<std::byte*> addresses;
    };
    struct Record {
        Stream stream;
        EventId event;
    };
    struct Wait {
        Stream stream;
        EventId event;
    };
    struct Scalar {
        Stream stream;
        const std::byte* value;
        double* destination;
    };
    using Action = std::variant<Graph, Load, Collect, Transfers, Record, Wait, Scalar>;
    using Recording = std::vector<Action>;

    void perform(const Graph& action);
    void perform(const Load& action);
    void perform(const Collect& action);
    void perform(const Transfers& action);
    void perform(const Record& action);
    void perform(const Wait& action);
    void perform(const Scalar& action);
    void add(Action action);  // performs it, and keeps it in the recording that is being made

    bool is_captured(Stream stream) const { return captured_[index(stream)]; }
    void open_graph(Stream stream, const void* first_operation);
    void close_graph(Stream stream);
    void close_recording();
    template <class Work>
    void timed(Stream stream, Span::Kind kind, Work&& work);

    void wait_until_idle();
    void expect_no_failure() const;
    double* pinned_scalar(double* destination);

    static std::size_t index(Stream stream) { return static_cast<std::size_t>(stream); }
    cudaStream_t queue(Stream stream) const { return contexts_[index(stream)].stream; }

    const RoleProgram& role_;
    BatchStage& batches_;
    Linears& linears_;
    Attentions& attentions_;
    NcclCommunicators& communicators_;
    const ExecutorOptions options_;

    std::array<StreamHandle, kStreams> streams_;  // null: the role does not use it
    std::array<DeviceMemory, kStreams> scratch_;
    std::array<LaunchContext, kStreams> contexts_;
    std::vector<EventHandle> events_;
    DeviceMemory words_;
    PinnedMemory words_on_host_, scalars_;
    std::vector<double*> destinations_;  // where each word of scalars_ goes
    ProgressMarks marks_;
    StepTimer timer_;

    StepMode mode_ = StepMode::direct;
    SpanLog* log_ = nullptr;
    StepContext context_;  // of the task that is being executed
    std::map<std::pair<BodyId, std::int32_t>, Recording> recordings_;  // [body, slot]
    Recording* making_ = nullptr;                                      // one of them
    std::array<bool, kStreams> captured_{};                            // a graph is open
};

}  // namespace shardscope::cuda
