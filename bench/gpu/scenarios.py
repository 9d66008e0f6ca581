"""Scenarios of the checks, as JSON, which shardscope reads as it reads YAML."""

GPTS = {  # layers, hidden, heads
    "gpt2-124m": (12, 768, 12),
    "gpt2-350m": (24, 1024, 16),
    "gpt2-1.3b": (24, 2048, 16),
}


def gpt(layers, hidden, heads, vocab=50304, seq=1024):
    return {"gpt": {"layers": layers, "hidden": hidden, "heads": heads, "vocab": vocab, "seq": seq}}


def scenario(name, model, cluster, strategies, batch, micro_batch=None, precision="bf16", steps=8,
             gradient=None):
    training = {"global_batch": batch, "steps": steps, "precision": precision,
                "optimizer": {"adamw": {"lr": 3e-4}}}
    if micro_batch:
        training["micro_batch"] = micro_batch
    if gradient:
        training["gradient_dtype"] = gradient
    return {"name": name, "model": model, "data": {"synthetic": {}}, "training": training,
            "cluster": cluster, "strategies": strategies}


def strategies_for(ranks):
    """What must train the same model as one rank does, on so many."""
    chosen = [{"name": "ddp"}]
    if ranks > 1:
        chosen += [{"name": f"zero-{z}", "zero": z} for z in (1, 2, 3)]
        chosen += [{"name": f"tp{ranks}", "tp": ranks},
                   {"name": f"tp{ranks} sequence", "tp": ranks, "sequence_parallel": True},
                   {"name": f"pp{ranks}", "pp": ranks}]
    if ranks == 4:
        chosen += [{"name": "tp2 zero-3", "tp": 2, "zero": 3},
                   {"name": "tp2 pp2", "tp": 2, "pp": 2},
                   {"name": "pp2 zero-1 interleaved", "pp": 2, "zero": 1,
                    "virtual_stages": 2},
                   {"name": "pp2 zero bubble", "pp": 2, "schedule": "zb-h1"}]
    return chosen


def strategy_check(ranks, precision, cluster="h200"):
    """A small model whose training can be compared by its losses: 4 layers, 8 samples in 4 micro-batches."""
    return scenario(f"strategies on {ranks} ranks, {precision}", gpt(4, 128, 4, 512, 64),
                    {"gpu": cluster, "nodes": 1, "gpus_per_node": ranks}, strategies_for(ranks),
                    batch=8, micro_batch=2 if ranks < 4 else 1, precision=precision, steps=6)


def prediction_check(cluster):
    """Configurations of one GPU that the simulator has to predict: models, batches, lengths, types."""
    small, medium, large = (gpt(*GPTS[name]) for name in GPTS)
    llama = {"llama": {"layers": 16, "hidden": 1024, "heads": 16, "kv_heads": 4, "ffn": 2816,
                       "vocab": 32000, "seq": 1024}}
    one = [{"name": "single"}]
    make = lambda name, model, **more: scenario(name, model, cluster, one, **more)
    return [
        make("124m b32", small, batch=32),
        make("124m b8", small, batch=8),
        make("124m b64 in 4", small, batch=64, micro_batch=16),
        make("124m b16 fp32 gradients", small, batch=16, gradient="fp32"),
        make("124m fp32 b8", small, batch=8, precision="fp32"),
        make("124m b32 seq 256", gpt(12, 768, 12, seq=256), batch=32),
        make("124m b4 seq 4096", gpt(12, 768, 12, seq=4096), batch=4),
        make("350m b16", medium, batch=16),
        make("350m b4", medium, batch=4),
        make("350m b16 in 4", medium, batch=16, micro_batch=4),
        make("1.3b b8", large, batch=8),
        make("1.3b b2", large, batch=2),
        make("llama b16", llama, batch=16),
        make("llama b8 recompute", llama, batch=8) | {
            "strategies": [{"name": "recompute", "recompute": "full"}]},
    ]
