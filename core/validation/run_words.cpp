#include "core/validation/run_words.h"

#include <algorithm>
#include <array>

#include "core/nearest.h"

namespace shardscope {
namespace {

struct Spelling {
    RunWord column;
    std::string_view written;
    std::string_view word;
    bool begins = false;  // any text that begins so
};

using enum RunWord;

// The first that fits.
constexpr auto kSpellings = std::to_array<Spelling>({
    {framework, "megatron-lm", "megatron"},
    {framework, "megatron-core", "megatron"},
    {framework, "megatron-lm-core", "megatron"},
    {framework, "megatron-lm-fsdp", "megatron-fsdp"},
    {framework, "megatron-core-fsdp", "megatron-fsdp"},
    {framework, "megatron-bridge", "megatron-bridge", true},
    {framework, "mbridge", "megatron-bridge", true},
    {framework, "nemo-megatron-bridge", "megatron-bridge", true},
    {framework, "nvidia-nemo-megatron-bridge", "megatron-bridge", true},
    {framework, "nvidia-megatron-bridge", "megatron-bridge", true},
    {framework, "mcore", "megatron", true},
    {framework, "nemotron", "megatron", true},
    {framework, "nemo-automodel", "fsdp2", true},
    {framework, "nemo", "nemo", true},
    {framework, "nvidia-nemo", "nemo", true},
    {framework, "primus", "megatron"},
    {framework, "gpt-neox", "megatron-deepspeed"},
    {framework, "neox", "megatron-deepspeed"},
    {framework, "deepspeed-megatron", "megatron-deepspeed"},
    {framework, "megatron-lm-deepspeed", "megatron-deepspeed"},
    {framework, "deepspeed-megatron-lm", "megatron-deepspeed"},
    {framework, "deepspeed-zero", "deepspeed", true},
    {framework, "pytorch-ddp", "ddp"},
    {framework, "torch-ddp", "ddp"},
    {framework, "distributed-data-parallel", "ddp"},
    {framework, "distributeddataparallel", "ddp"},
    {framework, "pytorch-fsdp", "fsdp"},
    {framework, "torch-fsdp", "fsdp"},
    {framework, "pytorch-fsdp2", "fsdp2"},
    {framework, "fsdp-2", "fsdp2"},
    {framework, "fsdp-1", "fsdp1"},
    {framework, "torchtitan", "fsdp2"},
    {framework, "torchtune", "fsdp2"},
    {framework, "olmo-core", "fsdp2"},
    {framework, "olmo", "fsdp1"},
    {framework, "fms-fsdp", "fsdp1"},
    {framework, "litgpt", "fsdp1"},
    {framework, "lit-gpt", "fsdp1"},
    {framework, "llama-recipes", "fsdp1"},
    {framework, "llama-cookbook", "fsdp1"},
    {framework, "mosaicml", "llm-foundry"},
    {framework, "composer", "llm-foundry"},
    {framework, "llmfoundry", "llm-foundry"},
    {framework, "nanogpt", "ddp"},
    {precision, "bfloat16", "bf16"},
    {precision, "bf16-mixed", "bf16"},
    {precision, "mixed-bf16", "bf16"},
    {precision, "float16", "fp16"},
    {precision, "half", "fp16"},
    {precision, "fp16-mixed", "fp16"},
    {precision, "mixed-fp16", "fp16"},
    {precision, "float32", "fp32"},
    {precision, "float8", "fp8"},
    {precision, "fp8-delayed", "fp8"},
    {precision, "fp8-current", "fp8"},
    {precision, "fp8-tensorwise", "fp8"},
    {precision, "fp8-hybrid", "fp8"},
    {precision, "fp8-mx", "mxfp8"},
    {precision, "mx-fp8", "mxfp8"},
    {precision, "fp4", "nvfp4"},
    {precision, "float8-rowwise", "fp8-rowwise"},
    {precision, "fp8-delayed-scaling", "fp8"},
    {precision, "fp8-current-scaling", "fp8"},
    {precision, "float8-tensorwise", "fp8"},
    {precision, "bf16-mixed-precision", "bf16"},
    {precision, "bf16-amp", "bf16"},
    {precision, "amp-bf16", "bf16"},
    {precision, "bf16/fp32", "bf16"},
    {precision, "bf16-fp32-master", "bf16"},
    {precision, "bfloat16-mixed", "bf16"},
    {precision, "bfloat16-true", "bf16-true"},
    {precision, "16-mixed", "fp16"},
    // What multiplies in 8 bits keeps the rest in bf16; FP8 recipes by the names of Megatron-Bridge and NeMo.
    {precision, "bf16+fp8", "fp8"},
    {precision, "fp8+bf16", "fp8"},
    {precision, "bf16/fp8", "fp8"},
    {precision, "fp8/bf16", "fp8"},
    {precision, "bf16-with-fp8", "fp8"},
    {precision, "bf16-fp8", "fp8"},
    {precision, "fp8-e4m3", "fp8"},
    {precision, "fp8-e4m3/e5m2", "fp8"},
    {precision, "fp8-cs", "fp8"},
    {precision, "fp8-ds", "fp8"},
    {precision, "fp8-per-tensor", "fp8"},
    {precision, "fp8-tensor", "fp8"},
    {precision, "fp8-per-tensor-scaling", "fp8"},
    {precision, "fp8-sc", "fp8-blockwise"},
    {precision, "fp8-subchannel", "fp8-blockwise"},
    {precision, "fp8-deepgemm", "fp8-blockwise"},
    {precision, "amp-fp8", "fp8"},
    {precision, "fp16-amp", "fp16"},
    {precision, "amp-fp16", "fp16"},
    {precision, "fp16/fp32", "fp16"},
    {mlp, "silu", "swiglu"},
    {mlp, "silu-glu", "swiglu"},
    {mlp, "gated-silu", "swiglu"},
    {mlp, "swish-glu", "swiglu"},
    {mlp, "geglu-tanh", "geglu"},
    {mlp, "gelu-glu", "geglu"},
    {mlp, "gated-gelu", "geglu"},
    {mlp, "relu-squared", "relu2"},
    {mlp, "squared-relu", "relu2"},
    {mlp, "relu^2", "relu2"},
    {mlp, "gelu-new", "gelu"},
    {mlp, "gelu-tanh", "gelu"},
    {schedule, "interleaved", "interleaved-1f1b"},
    {schedule, "interleaved1f1b", "interleaved-1f1b"},
    {schedule, "1f1b-interleaved", "interleaved-1f1b"},
    {schedule, "interleaved-1f1b-schedule", "interleaved-1f1b"},
    {schedule, "interleaved-schedule", "interleaved-1f1b"},
    {schedule, "vpp", "interleaved-1f1b"},
    {schedule, "virtual-pipeline", "interleaved-1f1b"},
    {schedule, "1f1b-non-interleaved", "1f1b"},
    {schedule, "non-interleaved-1f1b", "1f1b"},
    {schedule, "non-interleaved", "1f1b"},
    {schedule, "1f1b-schedule", "1f1b"},
    {schedule, "afab", "gpipe"},
    {schedule, "all-forward-all-backward", "gpipe"},
    {schedule, "pipedream-flush", "1f1b"},
    {schedule, "zb1p", "zb-h1"},
    {schedule, "zbh1", "zb-h1"},
    {schedule, "zbv", "zb-v"},
    {schedule, "zbvzerobubble", "zb-v"},
    {schedule, "none", ""},
    {recompute, "full", "full", true},
    {recompute, "selective", "selective", true},
    {recompute, "core-attn", "selective"},
    {recompute, "core-attention", "selective"},
    {recompute, "attention", "selective"},
    {recompute, "sac", "selective"},
    {recompute, "block", "full"},
    {recompute, "uniform", "full", true},
    {recompute, "gradient-checkpointing", "full"},
    {recompute, "gradient-checkpointing=true", "full"},
    {recompute, "1", "full"},
    {recompute, "1.0", "full"},
    {recompute, "per-layer", "full"},
    {recompute, "per-block", "full"},
    {recompute, "every-layer", "full"},
    {recompute, "every-block", "full"},
    {recompute, "all", "full"},
    {recompute, "all-layers", "full"},
    {recompute, "all-blocks", "full"},
    {recompute, "yes-full", "full"},
    // That something is recomputed, but not what.
    {recompute, "true", "on"},
    {recompute, "yes", "on"},
    {recompute, "y", "on"},
    {recompute, "enabled", "on"},
    {recompute, "ac", "on"},
    {recompute, "activation-checkpointing", "on"},
    {recompute, "activation-checkpointing=true", "on"},
    {recompute, "activation-ckpt", "on"},
    {recompute, "activation-recomputation", "on"},
    {recompute, "activation-recompute", "on"},
    {recompute, "checkpointing", "on"},
    {recompute, "recomputation", "on"},
    {recompute, "recompute", "on"},
    {recompute, "none", "none", true},
    {recompute, "no-", "none", true},
    {recompute, "without", "none", true},
    {recompute, "w/o", "none", true},
    {recompute, "gradient-checkpointing=false", "none"},
    {recompute, "activation-checkpointing=false", "none"},
    {recompute, "n", "none"},
    {recompute, "not-used", "none"},
    {recompute, "false", "none"},
    {recompute, "no", "none"},
    {recompute, "off", "none"},
    {recompute, "disabled", "none"},
    {recompute, "0", "none"},
    {recompute, "0.0", "none"},
    {attention, "flash", "flash", true},
    {attention, "fa2", "flash"},
    {attention, "fa3", "flash"},
    {attention, "sdpa", "flash"},
    {attention, "cudnn", "flash"},
    {attention, "fused", "flash"},
    {attention, "eager", "unfused"},
    {attention, "standard", "unfused"},
    {attention, "naive", "unfused"},
    {memory_kind, "max-allocated", "allocated"},
    {memory_kind, "peak-allocated", "allocated"},
    {memory_kind, "max-memory-allocated", "allocated"},
    {memory_kind, "torch.cuda.max-memory-allocated", "allocated"},
    {memory_kind, "torch.cuda.max-memory-reserved", "reserved"},
    {memory_kind, "max-reserved", "reserved"},
    {memory_kind, "peak-reserved", "reserved"},
    {memory_kind, "max-memory-reserved", "reserved"},
    {memory_kind, "nvidia-smi", "process"},
    {memory_kind, "nvml", "process"},
});

}  // namespace

bool is_unknown_mark(std::string_view text) {
    constexpr auto kMarks = std::to_array<std::string_view>(
        {"-", "?", "n/a", "na", "nan", "null", "unknown", "unstated", "not-stated"});
    return std::ranges::find(kMarks, folded(text)) != kMarks.end();
}

bool is_out_of_memory_mark(std::string_view text) {
    constexpr auto kMarks =
        std::to_array<std::string_view>({"oom", "out-of-memory", "outofmemory", "cuda-oom",
                                         "cuda-out-of-memory", "ran-out-of-memory"});
    return std::ranges::find(kMarks, folded(text)) != kMarks.end();
}

std::string usual_word(RunWord column, std::string_view text) {
    if (is_unknown_mark(text)) return "";
    std::string written = folded(text);
    std::erase_if(written, [](char c) { return c == '(' || c == ')' || c == ','; });
    const auto* found = std::ranges::find_if(kSpellings, [&](const Spelling& s) {
        return s.column == column &&
               (s.begins ? written.starts_with(s.written) : written == s.written);
    });
    return found == kSpellings.end() ? written : std::string(found->word);
}

}  // namespace shardscope
