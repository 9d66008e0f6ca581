#!/usr/bin/env python3
"""Compares training steps on one GPU with PyTorch doing the same work on the same GPU.

  python3 bench/pytorch_gpu.py [--shardscope build/release/bin/shardscope] [--results FILE.json] [--quick]

Models are those of scenarios/gpu/: GPT-2 124M and 350M, GPT 1.3B (bf16, sequence 1024), and the MLP
784-128-10 (fp32). PyTorch runs the same shapes with torch.compile, scaled_dot_product_attention's flash
kernels and fused AdamW, in the two ways that are usual:
  autocast   fp32 weights, gradients and moments, autocast to bf16: as many bits as ours, which keep bf16
             weights with fp32 masters, gradients and moments
  bf16       everything in bf16, moments too: fewer bits, less memory traffic
and the MLP with torch.compile's defaults and with its CUDA graphs (reduce-overhead). The ratio is to the
faster one of the first kind for GPT, of both for the MLP; the rest is printed beside it.

Both sides run in turns, A B A B ...; a figure is the median over all timed steps (at least 50). MFU counts
6·N + 6·layers·hidden·seq FLOPs per token (N all parameters; attention's causal half counted once, nothing for
recomputation) against the device's dense peak; the ceiling is the rate of an 8192³ bf16 multiply on random
numbers, measured in this run. Exits with 1 when a ratio misses the project's target (GPT 1.0, MLP 2.0), with 3
when the two do not start from models of the same size and loss.
"""
import argparse
import json
import math
import pathlib
import statistics
import subprocess
import sys
import tempfile

try:
    import torch
    import torch.nn as nn
    import torch.nn.functional as F
except ImportError as missing:
    sys.exit(f"{missing}; this comparison needs PyTorch with CUDA")

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGETS = {"mlp": 2.0}
GPT_TARGET = 1.0
PEAK_TFLOPS = {"H100": 989.0, "H200": 989.0, "A100": 312.0, "B200": 2250.0}  # dense bf16, data sheets


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shardscope", type=pathlib.Path, default=ROOT / "build/release/bin/shardscope")
    parser.add_argument("--models", nargs="+", default=["gpt2-124m", "gpt2-350m", "gpt2-1.3b", "mlp"])
    parser.add_argument("--rounds", type=int, default=2, help="turns of each side")
    parser.add_argument("--steps", type=int, default=30, help="timed steps of a turn")
    parser.add_argument("--quick", action="store_true", help="one turn, and only the first kind of PyTorch")
    parser.add_argument("--results", type=pathlib.Path, help="also write the figures there")
    return parser.parse_args()


# --- PyTorch ------------------------------------------------------------------------------------------


class Block(nn.Module):
    def __init__(self, hidden, heads):
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.qkv, self.projection = nn.Linear(hidden, 3 * hidden), nn.Linear(hidden, hidden)
        self.up, self.down = nn.Linear(hidden, 4 * hidden), nn.Linear(4 * hidden, hidden)

    def forward(self, x):
        batch, seq, hidden = x.shape
        q, k, v = self.qkv(self.norm_1(x)).split(hidden, dim=2)
        split = lambda t: t.view(batch, seq, self.heads, hidden // self.heads).transpose(1, 2)
        y = F.scaled_dot_product_attention(split(q), split(k), split(v), is_causal=True)
        x = x + self.projection(y.transpose(1, 2).reshape(batch, seq, hidden))
        return x + self.down(F.gelu(self.up(self.norm_2(x)), approximate="tanh"))


class Gpt(nn.Module):
    def __init__(self, layers, hidden, heads, vocab, seq):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocab, hidden), nn.Embedding(seq, hidden)
        self.blocks = nn.ModuleList(Block(hidden, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(hidden)
        self.head = nn.Linear(hidden, vocab, bias=False)
        self.head.weight = self.tokens.weight
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, std=0.02)

    def forward(self, tokens, targets):
        places = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.tokens(tokens) + self.positions(places)
        for block in self.blocks:
            x = block(x)
        logits = self.head(self.norm(x))
        return F.cross_entropy(logits.view(-1, logits.shape[-1]).float(), targets.view(-1))


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))

    def forward(self, features, targets):
        return F.cross_entropy(self.layers(features), targets)


class TorchTraining:
    """One model, compiled; `kind` is autocast, bf16, compiled or graphs."""

    def __init__(self, model, scenario, kind):
        self.model, self.kind = model.cuda(), kind
        if kind == "bf16":
            self.model = self.model.bfloat16()
        self.parameters = sum(p.numel() for p in self.model.parameters())
        adamw = scenario["training"]["optimizer"]["adamw"]
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=adamw["lr"], betas=tuple(adamw["betas"]),
                                           weight_decay=adamw["weight_decay"], fused=True)
        self.compiled = torch.compile(self.model, mode="reduce-overhead" if kind == "graphs" else None)

    def step(self, inputs, targets):
        with torch.autocast("cuda", torch.bfloat16, enabled=self.kind == "autocast"):
            loss = self.compiled(inputs, targets)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    def times(self, batch, steps, warm=5):
        """Seconds of each step by events, without waiting for the device in between; and the first loss."""
        first = float(self.step(*batch))
        for _ in range(warm):
            self.step(*batch)
        torch.cuda.synchronize()
        events = [torch.cuda.Event(enable_timing=True) for _ in range(steps + 1)]
        events[0].record()
        for event in events[1:]:
            self.step(*batch)
            event.record()
        torch.cuda.synchronize()
        return [a.elapsed_time(b) / 1e3 for a, b in zip(events, events[1:])], first


def torch_side(scenario, kind, steps):
    torch.manual_seed(1)
    torch._dynamo.reset()
    rows = scenario["training"]["micro_batch"]
    if "gpt" in scenario["model"]:
        m = scenario["model"]["gpt"]
        model = Gpt(m["layers"], m["hidden"], m["heads"], m["vocab"], m["seq"])
        batch = tuple(torch.randint(m["vocab"], (rows, m["seq"]), device="cuda") for _ in range(2))
    else:
        model = Mlp()
        batch = (torch.randn(rows, 784, device="cuda"), torch.randint(10, (rows,), device="cuda"))
    training = TorchTraining(model, scenario, kind)
    torch.cuda.reset_peak_memory_stats()
    times, loss = training.times(batch, steps)
    result = {"times": times, "first_loss": loss, "parameters": training.parameters,
              "allocated_bytes": torch.cuda.max_memory_allocated()}
    del training, model, batch
    torch.cuda.empty_cache()
    return result


def multiply_ceiling():
    """TFLOP/s of an 8192³ bf16 multiply of random numbers."""
    n = 8192
    a, b = (torch.randn(n, n, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    times = []
    for _ in range(20):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        a @ b
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) / 1e3)
    return 2 * n**3 / statistics.median(times[5:]) / 1e12


# --- ours ---------------------------------------------------------------------------------------------


def scenario_of(binary, name):
    path = ROOT / "scenarios/gpu" / f"{name}.yaml"
    output = subprocess.run([binary, "simulate", path, "--json"], check=True, stdout=subprocess.PIPE)
    return path, json.loads(output.stdout)["scenario"]


def our_side(binary, path, steps, folder):
    # Three steps more: a warm-up, one that makes the recordings, one that is traced.
    report = folder / "report.json"
    command = [binary, "run", "--backend", "cuda", path, "--steps", str(steps + 3), "--json", "--output", report]
    run = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    if run.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))} ended with {run.returncode}: {run.stderr.strip()}")
    strategy = json.loads(report.read_text())["strategies"][0]
    measured = strategy["measured"]
    return {"step_time": measured["step_time_s"], "first_loss": measured["losses"][0],
            "peak_bytes": measured["memory"]["peak_bytes"], "time": measured["time"]}


# --- the comparison -----------------------------------------------------------------------------------


def shape_of(scenario):
    spec = scenario["model"].get("gpt")
    rows = scenario["training"]["micro_batch"]
    return (spec, rows * spec["seq"]) if spec else (None, rows)


def flops_per_token(spec, parameters):
    return 6 * parameters + 6 * spec["layers"] * spec["hidden"] * spec["seq"]


def check_same_model(name, ours, theirs):
    # Both start from small random weights and random targets: the loss is that of guessing.
    if not math.isclose(ours["first_loss"], theirs["first_loss"], rel_tol=0.05):
        sys.exit(f"{name}: the first loss is {ours['first_loss']:.4f} here and {theirs['first_loss']:.4f} in PyTorch: "
                 "not the same model (exit 3)")


def compare(binary, name, arguments, folder):
    path, scenario = scenario_of(binary, name)
    spec, tokens = shape_of(scenario)
    kinds = ["autocast", "bf16"] if spec else ["compiled", "graphs"]
    if arguments.quick:
        kinds = kinds[:1]
    ours, theirs = [], {kind: [] for kind in kinds}
    steps = arguments.steps if spec else 10 * arguments.steps
    for _ in range(1 if arguments.quick else arguments.rounds):
        ours.append(our_side(binary, path, steps, folder))
        for kind in kinds:
            theirs[kind].append(torch_side(scenario, kind, steps))
            check_same_model(name, ours[-1], theirs[kind][-1])
    step = statistics.median(o["step_time"] for o in ours)
    medians = {kind: statistics.median(t for turn in turns for t in turn["times"])
               for kind, turns in theirs.items()}
    bar = medians["autocast"] if spec else min(medians.values())
    parameters = theirs[kinds[0]][0]["parameters"]
    row = {"model": name, "parameters": parameters, "unit": "tokens" if spec else "steps",
           "steps": steps * len(ours), "ours_step_s": step, "torch_step_s": medians, "ratio": bar / step,
           "target": TARGETS.get(name, GPT_TARGET), "ours_peak_bytes": ours[0]["peak_bytes"],
           "torch_allocated_bytes": {kind: turns[0]["allocated_bytes"] for kind, turns in theirs.items()},
           "ours_time": ours[-1]["time"]}
    work = tokens if spec else 1
    row["ours_per_s"] = work / step
    row["torch_per_s"] = {kind: work / median for kind, median in medians.items()}
    if spec:
        row["ours_tflops"] = flops_per_token(spec, parameters) * tokens / step / 1e12
        row["torch_tflops"] = flops_per_token(spec, parameters) * tokens / bar / 1e12
    return row


def print_row(row, peak, ceiling):
    theirs = ", ".join(f"{kind} {value:,.0f}" for kind, value in row["torch_per_s"].items())
    print(f"{row['model']:10}  {row['unit']}/s: ours {row['ours_per_s']:,.0f}; PyTorch {theirs}; "
          f"ratio {row['ratio']:.3f} (target {row['target']})")
    if "ours_tflops" in row:
        mfu = f"{100 * row['ours_tflops'] / peak:.1f}" if peak else "unknown"
        print(f"            ours {row['ours_tflops']:.0f} TFLOP/s: MFU {mfu} %, "
              f"{100 * row['ours_tflops'] / ceiling:.1f} % of the multiply ceiling; PyTorch {row['torch_tflops']:.0f}")


def main():
    arguments = parse_arguments()
    if not torch.cuda.is_available():
        sys.exit("PyTorch sees no GPU: this comparison needs one")
    torch.set_float32_matmul_precision("highest")
    device = torch.cuda.get_device_name()
    peak = next((rate for name, rate in PEAK_TFLOPS.items() if name in device), None)
    ceiling = multiply_ceiling()
    results = {"device": device, "torch": torch.__version__, "cuda": torch.version.cuda,
               "flops_convention": "6·N + 6·layers·hidden·seq per token", "peak_tflops": peak,
               "multiply_ceiling_tflops": ceiling, "rows": [], "failed": []}
    print(f"{device}, PyTorch {torch.__version__}; an 8192³ bf16 multiply runs at {ceiling:.0f} TFLOP/s")
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.models:
            try:
                row = compare(arguments.shardscope, name, arguments, pathlib.Path(folder))
            except (RuntimeError, subprocess.CalledProcessError) as error:
                results["failed"].append({"model": name, "error": str(error)})
                print(f"{name:10}  failed: {error}")
                continue
            results["rows"].append(row)
            print_row(row, peak, ceiling)
            sys.stdout.flush()
            if arguments.results:  # what is there is kept when a later model fails
                arguments.results.write_text(json.dumps(results, indent=2) + "\n")
    if arguments.results:
        arguments.results.write_text(json.dumps(results, indent=2) + "\n")
    missed = [row["model"] for row in results["rows"] if row["ratio"] < row["target"]]
    if missed or results["failed"]:
        print("missed: " + ", ".join(missed + [f["model"] for f in results["failed"]]))
        sys.exit(1)


if __name__ == "__main__":
    main()
