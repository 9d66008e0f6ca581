#include "backends/cuda/batch_stage.h"

#include "backends/cuda/device/check.h"
#include "core/program/runtime_memory.h"

namespace shardscope::cuda {
namespace {

std::byte* at(const std::unique_ptr<std::byte, FreePinned>& memory, std::int64_t offset,
              std::int64_t bytes) {
    return bytes > 0 ? memory.get() + offset : nullptr;
}

}  // namespace

BatchStage::Places BatchStage::places_of(const RoleProgram& role, std::int64_t& bytes) {
    Places places;
    bytes = 0;
    for (const Task& task : role.schedule)
        for (const Instruction& i : role.bodies[task.body.index()].instructions) {
            const auto* compute = std::get_if<Compute>(&i.operation);
            const auto* load = compute ? std::get_if<LoadBatch>(&compute->kernel) : nullptr;
            if (load == nullptr) continue;
            const SampleBytes samples = sample_bytes(*load, compute->dtype);
            const Place place{bytes, samples.inputs, bytes + SampleBytes::staged(samples.inputs),
                              samples.targets};
            bytes += samples.staged();
            places.emplace(std::pair(compute, task.micro_batch), place);
        }
    return places;
}

BatchStage::BatchStage(const RoleProgram& role, BatchLoader loader, std::int64_t steps)
    : loader_(std::move(loader)),
      places_(places_of(role, bytes_)),
      host_(allocate_pinned(Bytes(2 * bytes_))),
      device_(allocate_device(staged_samples(role))),
      copies_(make_stream(StreamPriority::ordinary)),
      ready_{make_event(), make_event()},
      period_(loader_.period()),
      steps_(steps) {}

void BatchStage::prepare(std::int64_t step) {
    if (step >= steps_ || places_.empty()) return;
    const auto number = static_cast<std::size_t>(step % 2);
    std::int64_t& held = held_[number];
    if (held == step || (held >= 0 && period_ > 0 && (step - held) % period_ == 0)) return;
    fetch(step);
    const std::int64_t half = step % 2 * bytes_;
    check(cudaMemcpyAsync(device_.get() + half, host_.get() + half,
                          static_cast<std::size_t>(bytes_), cudaMemcpyHostToDevice, copies_.get()),
          "cudaMemcpyAsync");
    check(cudaEventRecord(ready_[number].get(), copies_.get()), "cudaEventRecord");
    held = step;
}

void BatchStage::fetch(std::int64_t step) {
    const std::int64_t half = step % 2 * bytes_;
    for (const auto& [key, place] : places_) {
        const auto& [compute, micro_batch] = key;
        StepContext context;
        context.step = step;
        context.micro_batch = micro_batch;
        Addresses operands{};
        operands[0] = at(host_, half + place.inputs, place.input_bytes);
        operands[1] = at(host_, half + place.targets, place.target_bytes);
        loader_.load(std::get<LoadBatch>(compute->kernel), compute->dtype, operands, context);
    }
}

void BatchStage::load(cudaStream_t stream, const Compute& load, const Addresses& operands,
                      const StepContext& context) {
    const Place& place = places_.at({&load, context.micro_batch});
    const std::int64_t half = context.step % 2 * bytes_;
    check(cudaStreamWaitEvent(stream, ready_[static_cast<std::size_t>(context.step % 2)].get(), 0),
          "cudaStreamWaitEvent");
    const auto copy = [&](std::byte* to, std::int64_t from, std::int64_t bytes) {
        if (bytes == 0) return;
        check(cudaMemcpyAsync(to, device_.get() + half + from, static_cast<std::size_t>(bytes),
                              cudaMemcpyDeviceToDevice, stream),
              "cudaMemcpyAsync");
    };
    copy(operands[0], place.inputs, place.input_bytes);
    copy(operands[1], place.targets, place.target_bytes);
}

}  // namespace shardscope::cuda
