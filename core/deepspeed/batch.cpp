#include "core/deepspeed/batch.h"

#include <fmt/format.h>

#include "core/checked.h"
#include "core/error.h"

namespace shardscope {
namespace {

[[noreturn]] void refuse_batch(const std::string& message, const std::string& fix) {
    throw Error("batch", message, fix);
}

// DeepSpeed's words for the three, in the order in which it checks them.
void check_above_zero(const char* words, std::int64_t value, const std::string& origin,
                      std::int64_t data_parallel) {
    if (value > 0) return;
    const std::string message = fmt::format("{}: {} has to be greater than 0", words, value);
    if (origin.empty()) refuse_batch(message, "give a number above 0, or leave it out");
    refuse_batch(fmt::format("{} ({})", message, origin),
                 fmt::format("use a larger train_batch_size or fewer than {} data-parallel rank{}",
                             data_parallel, data_parallel == 1 ? "" : "s"));
}

void check_size(const char* key, std::int64_t value) {
    if (value > kLargestBatch)
        refuse_batch(fmt::format("{} is {}, but must be at most {}", key, value, kLargestBatch),
                     "use a smaller batch");
}

void check_given(const BatchTriad& given, std::int64_t data_parallel) {
    check_above_zero("Train batch size", given.train.value_or(1), "", data_parallel);
    check_above_zero("Micro batch size per gpu", given.micro.value_or(1), "", data_parallel);
    check_above_zero("Gradient accumulation steps", given.accumulation.value_or(1), "",
                     data_parallel);
    check_size("train_batch_size", given.train.value_or(1));
    check_size("train_micro_batch_size_per_gpu", given.micro.value_or(1));
    check_size("gradient_accumulation_steps", given.accumulation.value_or(1));
}

ResolvedBatch infer(const BatchTriad& given, std::int64_t ranks) {
    ResolvedBatch batch{given.train.value_or(0), given.micro.value_or(0),
                        given.accumulation.value_or(0), ""};
    if (given.train && given.micro && given.accumulation) {
        batch.inference = "all three are given";
    } else if (given.train && given.micro) {
        batch.accumulation = batch.train / batch.micro / ranks;
        batch.inference = fmt::format("gradient_accumulation_steps = {} // {} // {} = {}",
                                      batch.train, batch.micro, ranks, batch.accumulation);
    } else if (given.train && given.accumulation) {
        batch.micro = batch.train / ranks / batch.accumulation;
        batch.inference = fmt::format("train_micro_batch_size_per_gpu = {} // {} // {} = {}",
                                      batch.train, ranks, batch.accumulation, batch.micro);
    } else if (given.train) {
        batch.accumulation = 1;
        batch.micro = batch.train / ranks;
        batch.inference = fmt::format(
            "gradient_accumulation_steps = 1, train_micro_batch_size_per_gpu = {} // {} = {}",
            batch.train, ranks, batch.micro);
    } else if (given.micro) {
        batch.accumulation = given.accumulation.value_or(1);
        batch.train = checked_mul(batch.micro * batch.accumulation, ranks, "train_batch_size");
        batch.inference =
            given.accumulation
                ? fmt::format("train_batch_size = {} * {} * {} = {}", batch.micro,
                              batch.accumulation, ranks, batch.train)
                : fmt::format("gradient_accumulation_steps = 1, train_batch_size = {} * {} = {}",
                              batch.micro, ranks, batch.train);
    } else {
        refuse_batch(
            "Either train_batch_size or train_micro_batch_size_per_gpu needs to be provided",
            "add \"train_batch_size\": a number of samples per step over all ranks");
    }
    return batch;
}

// What would make the product equal: numbers that the user may change.
std::string remedy(const ResolvedBatch& batch, std::int64_t product, std::int64_t ranks) {
    std::string fix = fmt::format("use train_batch_size {}", product);
    const std::int64_t per_rank = batch.micro * batch.accumulation;  // both at most kLargestBatch
    if (batch.train % per_rank == 0)
        fix +=
            fmt::format(", or {} data-parallel ranks instead of {}", batch.train / per_rank, ranks);
    else if (batch.train > ranks && batch.train % ranks != 0)
        fix += fmt::format(", or {}", (batch.train / ranks + 1) * ranks);
    return fix;
}

}  // namespace

ResolvedBatch resolve_batch(const BatchTriad& given, std::int64_t data_parallel) {
    check_given(given, data_parallel);
    ResolvedBatch batch = infer(given, data_parallel);
    check_above_zero("Train batch size", batch.train, batch.inference, data_parallel);
    check_above_zero("Micro batch size per gpu", batch.micro, batch.inference, data_parallel);
    check_above_zero("Gradient accumulation steps", batch.accumulation, batch.inference,
                     data_parallel);
    check_size("train_batch_size", batch.train);
    const std::int64_t product =
        checked_mul(batch.micro * batch.accumulation, data_parallel, "train_batch_size");
    if (batch.train != product) {
        refuse_batch(
            fmt::format("Check batch related parameters. train_batch_size is not equal to "
                        "micro_batch_per_gpu * gradient_acc_step * world_size {} != {} * {} * {}",
                        batch.train, batch.micro, batch.accumulation, data_parallel),
            remedy(batch, product, data_parallel));
    }
    return batch;
}

}  // namespace shardscope
