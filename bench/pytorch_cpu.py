#!/usr/bin/env python3
"""Compares one GPT training step on this machine's cores with PyTorch doing the same work.

  python3 -m venv torch-cpu && torch-cpu/bin/pip install torch numpy      # once, outside the tree
  torch-cpu/bin/python bench/pytorch_cpu.py [--rounds 7] [--precision fp32|bf16] [--json FILE]

The step is that of bench/gpt-step.yaml: GPT of 6 layers x 256, sequence 256, batch 8; forward, backward and
AdamW; one rank of two threads, PyTorch with two threads. PyTorch starts from our weights and reads our
batches (bin/export_training), and the losses of its first three steps must be ours: that it is the same
work is checked, not assumed. In bf16 both keep weights, activations and gradients in bf16 and master
weights and moments in fp32.

Both are timed in turns, A B A B ..., each warmed up in every turn, so that what else happens on the machine
meets both alike. A turn's figure is its median step. Printed are medians over the turns, the ratio of
tokens per second (above 1: we are faster) with its range over the turns, and where the time goes: our
spans (--trace) beside PyTorch's profiler. Because other programs slow whoever waits for a barrier, the
processor time of a step on one thread is compared as well. Exits with 1 when the losses differ, or when the ratio in fp32
is below 1.0, the project's target.
"""
import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

try:
    import numpy
    import torch
    import torch.nn.functional as F
except ImportError as missing:
    sys.exit(f"{missing}; install PyTorch as the head of this file says")

ROOT = pathlib.Path(__file__).resolve().parent.parent
SCENARIO = ROOT / "bench/gpt-step.yaml"
TARGET = 1.0
THREADS = 2
CHECKED_STEPS = 3
# fp32: rounding of sums in another order. bf16: every stored value is rounded to 8 bits, and the two round
# at different places.
LOSS_TOLERANCE = {"fp32": 1e-4, "bf16": 2e-2}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin",
                        help="folder of shardscope and export_training")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--precision", choices=["fp32", "bf16"], action="append")
    parser.add_argument("--patience", type=float, default=20, metavar="SECONDS",
                        help="how long to wait before each turn for other programs to rest")
    parser.add_argument("--json", type=pathlib.Path, help="also write the figures there")
    return parser.parse_args()


def wait_for_rest(patience):
    """Returns when no other thread of the machine has run for a moment, or patience is at its end."""
    quiet, end = 0, time.monotonic() + patience
    while quiet < 5 and time.monotonic() < end:
        time.sleep(0.02)
        running = next(line for line in open("/proc/stat") if line.startswith("procs_running"))
        quiet = quiet + 1 if int(running.split()[1]) <= 1 else 0


# --- ours -----------------------------------------------------------------------------------------------


def scenario_for(precision, folder):
    text = SCENARIO.read_text()
    path = folder / f"gpt-step-{precision}.yaml"
    path.write_text(text.replace("precision: fp32", f"precision: {precision}"))
    return path


def run_ours(binary, scenario, *more):
    command = [binary, "run", scenario, "--json", *more]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    report = json.loads(output.stdout)
    return report, report["strategies"][0]["measured"]


def processor_time(binary, scenario, steps):
    """Of one step on one thread: that of a long run less that of a short one."""
    def of_run(count):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run_ours(binary, scenario, "--threads", "1", "--steps", str(count))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return (of_run(steps + 2) - of_run(2)) / steps


def group_of_span(name):
    for prefix, group in (("linear", "multiplies"), ("attention", "attention"), ("norm", "norm"),
                          ("softmax", "loss"), ("optimizer", "optimizer")):
        if name.startswith(prefix):
            return group
    return "rest"


def our_groups(binary, scenario, folder):
    trace = folder / "trace.json"
    run_ours(binary, scenario, "--trace", trace)
    groups = {}
    for event in json.loads(trace.read_text())["traceEvents"]:
        if event.get("ph") == "X":
            group = group_of_span(event["name"])
            groups[group] = groups.get(group, 0.0) + event["dur"] / 1e3
    return groups


# --- PyTorch --------------------------------------------------------------------------------------------


class Training:
    """The model and its optimizer, from what export_training wrote. Weights are used by name."""

    def __init__(self, file, spec, optimizer, precision):
        with open(file, "rb") as f:
            header = json.loads(f.readline())
            self.storage = torch.bfloat16 if precision == "bf16" else torch.float32
            self.weights, masters = {}, []
            for p in header["parameters"]:
                count = int(numpy.prod(p["shape"]))
                master = torch.from_numpy(numpy.fromfile(f, numpy.float32, count).reshape(p["shape"]))
                masters.append(master)
                self.weights[p["name"]] = master.to(self.storage).clone().requires_grad_()
            batch = (header["batch"], header["seq"])
            read = lambda: torch.from_numpy(
                numpy.fromfile(f, numpy.int32, batch[0] * batch[1]).reshape(batch)).long()
            self.batches = [(read(), read()) for _ in range(header["steps"])]
        self.layers, self.heads, self.batch = spec["layers"], spec["heads"], batch
        self.parameters = list(self.weights.values())
        # bf16 weights have fp32 masters, as ours have; in fp32 the weights are their own.
        self.masters = masters if precision == "bf16" else None
        a = optimizer["adamw"]
        self.optimizer = torch.optim.AdamW(self.masters or self.parameters, lr=a["lr"],
                                           betas=tuple(a["betas"]), eps=a["epsilon"],
                                           weight_decay=a["weight_decay"], fused=True)

    def norm(self, x, name):
        return F.layer_norm(x, x.shape[-1:], self.weights[name + ".weight"],
                            self.weights[name + ".bias"])

    def linear(self, x, name):
        return F.linear(x, self.weights[name + ".weight"], self.weights[name + ".bias"])

    def block(self, x, name):
        batch, seq, hidden = x.shape
        qkv = self.linear(self.norm(x, name + ".attention_norm"), name + ".attention.qkv")
        q, k, v = qkv.view(batch, seq, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.linear(y.transpose(1, 2).reshape(batch, seq, hidden),
                            name + ".attention.projection")
        up = F.gelu(self.linear(self.norm(x, name + ".mlp_norm"), name + ".mlp.up"),
                    approximate="tanh")
        return x + self.linear(up, name + ".mlp.down")

    def loss(self, inputs, targets):
        table = self.weights["embedding.tokens"]
        x = F.embedding(inputs, table) + self.weights["embedding.positions"]
        for layer in range(self.layers):
            x = self.block(x, f"blocks.{layer}")
        logits = F.linear(self.norm(x, "head.norm"), table)
        return F.cross_entropy(logits.view(-1, logits.shape[-1]).float(), targets.view(-1))

    def step(self, number):
        loss = self.loss(*self.batches[number % len(self.batches)])
        loss.backward()
        if self.masters is None:
            self.optimizer.step()
        else:
            for master, weight in zip(self.masters, self.parameters):
                master.grad = weight.grad.float()
            self.optimizer.step()
            with torch.no_grad():
                torch._foreach_copy_(self.parameters, self.masters)
        for weight in self.parameters:
            weight.grad = None
        return loss.item()

    def timed(self, steps):
        self.step(0)  # warm-up
        times = []
        for i in range(steps):  # as many as a run of ours times
            start = time.perf_counter()
            self.step(i)
            times.append(time.perf_counter() - start)
        return statistics.median(times)


    def processor_time(self, steps):
        """Of one step on one thread."""
        torch.set_num_threads(1)
        self.step(0)
        start = time.process_time()
        for i in range(steps):
            self.step(i)
        seconds = (time.process_time() - start) / steps
        torch.set_num_threads(THREADS)
        return seconds


def group_of_operator(name):
    for part, group in (("scaled_dot_product", "attention"), ("layer_norm", "norm"),
                        ("gelu", "gelu"), ("addmm", "multiplies"), ("aten::mm", "multiplies"),
                        ("softmax", "loss"), ("nll_loss", "loss"), ("fused_adam", "optimizer"),
                        ("foreach", "optimizer"), ("aten::sum", "bias gradients")):
        if part in name:
            return group
    return "rest"


def torch_groups(training, steps=3):
    from torch.profiler import ProfilerActivity, profile
    training.step(0)
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for i in range(steps):
            training.step(i)
    groups = {}
    for event in profiler.key_averages():
        group = group_of_operator(event.key)
        groups[group] = groups.get(group, 0.0) + event.self_cpu_time_total / 1e3 / steps
    return groups


# --- both -----------------------------------------------------------------------------------------------


def check_losses(ours, theirs, precision):
    print(f"first losses, ours    {' '.join(f'{x:.5f}' for x in ours)}")
    print(f"              PyTorch {' '.join(f'{x:.5f}' for x in theirs)}")
    worst = max(abs(a - b) / abs(a) for a, b in zip(ours, theirs))
    if worst > LOSS_TOLERANCE[precision]:
        sys.exit(f"not the same training: losses differ by {worst:.1e}, tolerance "
                 f"{LOSS_TOLERANCE[precision]:.0e}")
    print(f"the same work: losses differ by at most {worst:.1e} (tolerance "
          f"{LOSS_TOLERANCE[precision]:.0e})")


def print_groups(ours, theirs):
    # What PyTorch does in kernels of their own and we within a multiply is compared as one row.
    fused = ("multiplies", "gelu", "bias gradients")
    rows = [("multiplies, bias, gelu", ours.get("multiplies", 0),
             sum(theirs.get(g, 0) for g in fused))]
    rows += [(g, ours.get(g, 0), theirs.get(g, 0))
             for g in ("attention", "norm", "loss", "optimizer", "rest")]
    print("\nkernels                  ours, ms  PyTorch, ms  ratio")
    for name, mine, other in rows:
        verdict = "" if mine <= other else "  loses"
        ratio = f"{other / mine:6.2f}" if mine > 0.005 else "     -"
        print(f"{name:23}  {mine:8.1f}  {other:11.1f} {ratio}{verdict}")
    parts = ", ".join(f"{g} {theirs.get(g, 0):.1f}" for g in fused)
    print(f"(PyTorch's first row: {parts} ms; ours has gelu and bias inside)")
    return [{"kernels": n, "ours_ms": a, "pytorch_ms": b} for n, a, b in rows]


def compare_processor_time(binary, scenario, training, rounds=3):
    pairs = [(processor_time(binary, scenario, 6), training.processor_time(6)) for _ in range(rounds)]
    ours, theirs = (statistics.median(times) for times in zip(*pairs))
    ratio = statistics.median(b / a for a, b in pairs)
    print(f"on one thread, processor time of a step: ours {ours * 1e3:.0f} ms, PyTorch "
          f"{theirs * 1e3:.0f} ms, ratio {ratio:.2f} (other programs hardly disturb it)")
    return {"ours_s": ours, "pytorch_s": theirs, "ratio": ratio}


def compare(options, precision, folder):
    scenario = scenario_for(precision, folder)
    start = folder / "start.bin"
    subprocess.run([options.bin / "export_training", scenario, str(CHECKED_STEPS), start], check=True)
    binary = options.bin / "shardscope"
    report, measured = run_ours(binary, scenario)
    spec = report["scenario"]
    new_training = lambda: Training(start, spec["model"]["gpt"], spec["training"]["optimizer"],
                                    precision)
    training = new_training()
    print(f"\n== {precision}: PyTorch {torch.__version__}, {THREADS} threads each, "
          f"load {os.getloadavg()[0]:.1f}")
    check_losses(measured["losses"][:CHECKED_STEPS],
                 [training.step(i) for i in range(CHECKED_STEPS)], precision)

    steps = spec["training"]["steps"] - 1
    pairs = []
    for _ in range(options.rounds):
        wait_for_rest(options.patience)
        ours = run_ours(binary, scenario)[1]["step_time_s"]
        pairs.append((ours, training.timed(steps)))
    tokens = training.batch[0] * training.batch[1]
    ours, theirs = (statistics.median(times) for times in zip(*pairs))
    ratios = [b / a for a, b in pairs]
    ratio = statistics.median(ratios)
    print(f"\n            step, ms   tokens/s   best step, ms")
    for name, median, best in (("ours", ours, min(a for a, _ in pairs)),
                               ("PyTorch", theirs, min(b for _, b in pairs))):
        print(f"{name:10}  {median * 1e3:8.1f}  {tokens / median:9,.0f}  {best * 1e3:15.1f}")
    best = min(b for _, b in pairs) / min(a for a, _ in pairs)
    print(f"ratio {ratio:.2f} (from {min(ratios):.2f} to {max(ratios):.2f} in {len(ratios)} turns; "
          f"best against best {best:.2f})")
    if os.getloadavg()[0] > THREADS + 1.5:
        print("other programs are running: they slow whoever waits for a barrier more; only the best "
              "turns mean something")
    alone = compare_processor_time(binary, scenario, training)
    groups = print_groups(our_groups(binary, scenario, folder), torch_groups(training))
    return {"precision": precision, "ratio": ratio, "ratios": ratios, "best_ratio": best, "step_s": ours,
            "pytorch_step_s": theirs, "one_thread": alone, "groups": groups, "pytorch": torch.__version__}


def main():
    options = parse_arguments()
    torch.set_num_threads(THREADS)
    with tempfile.TemporaryDirectory() as folder:
        results = [compare(options, precision, pathlib.Path(folder))
                   for precision in options.precision or ["fp32", "bf16"]]
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    missed = [r for r in results if r["precision"] == "fp32" and r["ratio"] < TARGET]
    for result in missed:
        print(f"fp32: ratio {result['ratio']:.2f} is below {TARGET}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
