#include "tests/support/measured_rows.h"

namespace shardscope::test {

MeasuredRun full_row() {
    MeasuredRun run;
    run.id = "x";
    run.family = "f";
    run.gpu = "A100";
    run.gpu_memory_gb = 80;
    run.gpus_per_node = 8;
    run.gpus = 16;
    run.intra_node_GBps = 300;
    run.inter_node_Gbps_per_node = 800;
    run.mlp = "gelu";
    run.layers = 8;
    run.hidden = 1024;
    run.ffn = 4096;
    run.heads = run.kv_heads = 16;
    run.head_dim = 64;
    run.vocab = 51200;
    run.seq = 512;
    run.tied_embeddings = true;
    run.framework = "megatron";
    run.precision = "bf16";
    run.grad_dtype = "fp32";
    run.dp = 4;
    run.tp = run.pp = 2;
    run.virtual_stages = run.cp = run.ep = 1;
    run.sequence_parallel = false;
    run.zero_stage = 0;
    run.schedule = "1f1b";
    run.recompute = "none";
    run.attention = "flash";
    run.micro_batch = 2;
    run.global_batch = 64;
    run.step_time_s = 1;
    return run;
}

}  // namespace shardscope::test
