"""The window's acceptance test: a virtual display, a window manager, mouse and keyboard.

  acceptance_test.py SHARDSCOPE_GUI SHARDSCOPE SOURCE_DIR PICTURES [NUMBER]...

Every check prints its figures; docs/gui.md lists them. Pictures are kept. Exit code 77: a tool is missing.
"""

import csv
import io
import json
import pathlib
import re
import subprocess
import sys
import time
import traceback

import window as gui

PALETTE = {
    "parameters": (0x00, 0x72, 0xB2), "gradients": (0x56, 0xB4, 0xE9),
    "optimizer": (0xE6, 0x9F, 0x00), "activations": (0x00, 0x9E, 0x73),
    "communication": (0xCC, 0x79, 0xA7), "workspace": (0xF0, 0xE4, 0x42),
    "runtime": (0x6E, 0x6E, 0x6E),
}
CATEGORIES = ["Parameters", "Gradients", "Optimizer states", "Activations", "Communication",
              "Workspace", "Runtime"]
CHARTS = ["memory", "time", "pareto", "timeline"]
CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


class Tester:
    def __init__(self, program, command_line, source, pictures):
        self.program, self.command_line = program, command_line
        self.source, self.pictures = pathlib.Path(source), pathlib.Path(pictures)
        self.pictures.mkdir(parents=True, exist_ok=True)
        self.display = gui.Display()

    def open(self, *arguments, **options):
        return gui.Window(self.display, self.program, *arguments, **options)

    def simulate(self, path):
        result = subprocess.run([self.command_line, "simulate", str(path), "--json"],
                                capture_output=True, text=True, check=True)
        return json.loads(result.stdout)["strategies"]

    def picture(self, win, name, widget=None):
        return win.picture(self.pictures / f"{name}.png", widget)

    def differing(self, one, other):
        return gui.same_picture(self.display, one, other)

    def small_scenario(self, folder):
        """A file that may be changed: the first screen's scenario."""
        path = folder / "scenario.yaml"
        path.write_text((self.source / "scenarios/gpt-13b-16-gpus.yaml").read_text())
        return path


def bar_point(win, chart, row):
    """Inside the bar of a row."""
    bar = win.row(chart, row)
    return bar["x"] + min(12, bar["w"] / 2), bar["y"] + bar["h"] / 2


@check
def check_01_first_screen(t):
    """No arguments: a window within a second, 8 strategies, four charts, no dialog."""
    win = t.open()
    try:
        dump = win.settled()
        paint = dump["performance"]["first_paint_ms"]
        assert paint <= 300, f"first paint after {paint:.0f} ms"
        assert win.seconds_to_start <= 2, f"{win.seconds_to_start:.2f} s"
        assert len(dump["strategies"]) == 8
        verdicts = [row[-1] for row in dump["strategies"]]
        assert any("fits" in v for v in verdicts) and any("OOM" in v for v in verdicts)
        assert any("✕" in v for v in verdicts)
        gui.wait_for("the search", lambda: not win.dump()["search"]["running"], 60)
        assert win.dump()["search"]["points"] > 100
        seen = {}
        for chart in CHARTS:
            seen[chart] = gui.colours(t.display, t.picture(win, f"01-{chart}", chart))
            assert len(seen[chart]) > 10, f"{chart} is blank"
        found = {name for name, colour in PALETTE.items()
                 if any(colour in colours for colours in seen.values())}
        assert len(found) >= 5, f"only {found}"
        assert not win.dialogs()
        t.picture(win, "01-first-screen")
        return (f"first paint {paint:.0f} ms, {win.seconds_to_start:.2f} s to all figures, "
                f"{len(found)} of 7 category colours")
    finally:
        win.close()


@check
def check_02_tooltip(t):
    """The mouse over a bar: all categories in GiB and bytes, which sum to the total."""
    win = t.open()
    try:
        win.settled()
        win.move(*bar_point(win, "memory", 2))
        text = gui.wait_for("the tooltip", lambda: win.dump()["charts"]["memory"]["tooltip"])
        total, parts = None, {}
        for line in text.splitlines():
            numbers = re.findall(r"([\d,]+) bytes", line)
            if not numbers:
                continue
            count = int(numbers[0].replace(",", ""))
            name = next((c for c in CATEGORIES if line.strip().startswith(c)), None)
            if name:
                parts[name] = count
                assert "GiB" in line, line
            elif total is None or "otal" in line or "eak" in line:
                total = total or count
        assert list(parts) == CATEGORIES, f"{list(parts)} in\n{text}"
        assert total == sum(parts.values()), f"{total} != {sum(parts.values())} in\n{text}"
        t.picture(win, "02-tooltip")
        return f"7 categories, {total:,} bytes in all"
    finally:
        win.close()


@check
def check_03_click_selects_everywhere(t):
    """A click on a bar selects its row in the table, both bar charts, the search and the timeline."""
    win = t.open()
    try:
        win.settled()
        win.click(*bar_point(win, "memory", 5))
        gui.wait_for("the selection", lambda: win.dump()["selected"] == 5)
        dump = win.settled()
        name = dump["strategies"][5][0]
        assert name in dump["charts"]["timeline"]["text"], dump["charts"]["timeline"]["text"][:200]
        assert win.widget("strategy_name")["text"] == name
        win.click(*bar_point(win, "time", 3))
        gui.wait_for("the selection", lambda: win.dump()["selected"] == 3)
        t.picture(win, "03-selected")
        return "memory and step-time bars select"
    finally:
        win.close()


@check
def check_04_invalid_value(t):
    """PP 3: framed, with rule, arithmetic and remedy; no dialog; other rows as they were."""
    win = t.open()
    try:
        win.settled()
        win.click(*bar_point(win, "memory", 5))
        win.settled()
        table = win.widget("strategies")
        above = {**table, "h": table["h"] * 0.45}
        before = t.picture(win, "04-rows-before", above)
        win.set_number("pp", 3)
        dump = win.settled()
        frame, field = win.widget("field_frame", dump), win.widget("pp", dump)
        assert frame["x"] < field["x"] and frame["w"] > field["w"], "the field is not framed"
        verdict = re.sub(r"<[^>]*>", " ", win.widget("verdict", dump)["text"])
        assert "world-size" in verdict and "4 × pp 3 = 12" in verdict and "Fix" in verdict, verdict
        assert not win.dialogs()
        ms = dump["performance"]["edits"]["max_ms"]
        assert ms <= 100, f"{ms:.0f} ms"
        after = t.picture(win, "04-rows-after", above)
        assert t.differing(before, after) == 0, "other rows changed"
        t.picture(win, "04-invalid")
        return f"edit to frame {ms:.1f} ms; other rows equal pixel for pixel"
    finally:
        win.close()


@check
def check_05_undo(t):
    """Undo restores the picture of before; 20 edits and 20 undos end where they began."""
    win = t.open()
    try:
        win.settled()
        win.click(*bar_point(win, "memory", 5))
        gui.wait_for("the search", lambda: not win.dump()["search"]["running"], 60)
        win.settled()
        win.click_widget("strategies")
        win.click(*bar_point(win, "memory", 5))
        win.settled()
        views = ["strategies", "memory", "time", "timeline", "pareto"]
        win.move(5, 5)
        time.sleep(0.3)
        before = [t.picture(win, f"05-before-{v}", v) for v in views]
        for i in range(20):
            win.key("ctrl+d" if i % 2 else "alt+Down")
        assert win.settled()["undo"]
        for _ in range(20):
            win.key("ctrl+z")
        dump = win.settled()
        assert dump["undo"] == "" and not dump["modified"], dump["undo"]
        gui.wait_for("the row", lambda: win.dump()["selected"] >= 0)
        win.click(*bar_point(win, "memory", 5))
        win.settled()
        win.move(5, 5)
        time.sleep(0.3)
        for view, old in zip(views, before):
            count = t.differing(old, t.picture(win, f"05-after-{view}", view))
            assert count == 0, f"{view}: {count} pixels differ"
        win.key("ctrl+shift+z")
        assert win.settled()["undo"] != ""
        return "20 edits, 20 undos: 0 pixels differ in table and charts"
    finally:
        win.close()


@check
def check_06_slider(t):
    """The sequence slider from end to end: 95 % of frames within 50 ms, figures as the command line's."""
    folder = t.pictures / "06"
    folder.mkdir(exist_ok=True)
    path = t.small_scenario(folder)
    win = t.open(path)
    try:
        win.settled()
        gui.wait_for("the search", lambda: not win.dump()["search"]["running"], 60)
        s = win.widget("sequence_slider")
        y = s["y"] + s["h"] / 2
        tokens = int(win.widget("sequence")["text"])
        win.drag((s["x"] + 6, y), (s["x"] + s["w"] - 6, y), steps=60, pause=0.015)
        win.drag((s["x"] + s["w"] - 6, y), (s["x"] + s["w"] * 0.3, y), steps=40, pause=0.015)
        dump = win.settled()
        edits = dump["performance"]["edits"]
        now = int(win.widget("sequence")["text"])
        assert edits["count"] >= 20, edits
        assert edits["p95_ms"] <= 50, edits
        win.key("ctrl+s")
        gui.wait_for("the file", lambda: not win.dump()["modified"])
        win.key("ctrl+shift+c")
        rows = list(csv.DictReader(io.StringIO(gui.wait_for("the clipboard", win.clipboard))))
        for row, strategy in zip(rows, t.simulate(path), strict=True):
            assert row["strategy"] == strategy["name"]
            result = strategy["simulated"]
            if result is None:
                assert row["peak_bytes"] == ""
                continue
            assert int(row["peak_bytes"]) == result["memory"]["peak_bytes"], row["strategy"]
            assert float(row["step_time_s"]) == result["step_time_s"], row["strategy"]
        return (f"{edits['count']} frames, median {edits['median_ms']:.1f} ms, p95 "
                f"{edits['p95_ms']:.1f} ms, {tokens} to {now} tokens; figures equal simulate's")
    finally:
        win.close()


@check
def check_07_duplicate(t):
    """Duplicate, remove, undo."""
    win = t.open()
    try:
        win.settled()
        win.click(*bar_point(win, "memory", 5))
        gui.wait_for("the selection", lambda: win.dump()["selected"] == 5)
        win.click_widget("button_duplicate")
        dump = win.settled()
        assert len(dump["strategies"]) == 9 and dump["selected"] == 6, dump["selected"]
        assert "(copy)" in dump["strategies"][6][0], dump["strategies"][6]
        win.click(*bar_point(win, "memory", 6))
        win.key("Delete")
        assert len(win.settled()["strategies"]) == 8
        win.key("ctrl+z")
        dump = win.settled()
        assert len(dump["strategies"]) == 9 and "(copy)" in dump["strategies"][6][0]
        return f"row 7 is “{dump['strategies'][6][0]}”"
    finally:
        win.close()


@check
def check_08_09_search(t):
    """F5: at least 100,000 candidates, progress, a smooth window that can be edited; Esc stops it."""
    win = t.open()
    try:
        win.settled()
        gui.wait_for("the first search", lambda: not win.dump()["search"]["running"], 60)
        win.key("F5")
        first = gui.wait_for("progress", lambda: win.dump()["search"]["running"] and
                             win.dump()["search"]["evaluated"] > 0 and win.dump()["search"], 20)
        assert first["candidates"] >= 100_000, first
        time.sleep(3)
        win.click(*bar_point(win, "memory", 3))
        win.click_widget("button_duplicate")
        dump = win.settled()
        assert len(dump["strategies"]) == 9, "not editable"
        later = dump["search"]
        assert later["evaluated"] > first["evaluated"]
        gap = dump["performance"]["event_loop"]["max_gap_ms"]
        t.picture(win, "08-search")
        win.key("Escape")
        gui.wait_for("the end", lambda: not win.dump()["search"]["running"])
        dump = win.fresh()
        took = dump["performance"]["cancel_ms"]
        assert took <= 200, f"stopped after {took:.0f} ms"
        assert dump["search"]["cancelled"] and dump["search"]["points"] > 0
        time.sleep(0.5)
        before = win.cpu_seconds()
        time.sleep(2)
        busy = (win.cpu_seconds() - before) / 2
        assert busy < 0.15, f"{busy:.0%} of a core afterwards"
        assert gap <= 50, f"event loop stood still for {gap:.0f} ms"
        return (f"{first['candidates']:,} candidates, {later['evaluated']:,} in 3 s; largest gap "
                f"{gap:.1f} ms; stopped after {took:.0f} ms with {dump['search']['points']:,} points; "
                f"then {busy:.0%} of a core")
    finally:
        win.close()


@check
def check_10_pareto(t):
    """No frontier point beyond the capacity; a double click on a point adds exactly that strategy."""
    win = t.open()
    try:
        win.settled()
        gui.wait_for("the search", lambda: not win.dump()["search"]["running"], 60)
        dump = win.fresh()
        frontier, capacity = dump["search"]["frontier"], dump["search"]["capacity_gib"]
        assert frontier and all(p["gib"] <= capacity for p in frontier)
        axes = dump["charts"]["pareto"]["axes"][0]
        # A point with room around it, so that no marker of the table lies on it.
        point = frontier[len(frontier) // 2]
        x = axes["x"] + axes["w"] * (point["gib"] - axes["left"]) / (axes["right"] - axes["left"])
        y = axes["y"] + axes["h"] * (axes["top"] - point["tokens_per_s"]) / (axes["top"] - axes["bottom"])
        win.click(x, y, repeat=2)
        dump = win.settled()
        assert len(dump["strategies"]) == 9, "nothing was added"
        win.key("ctrl+shift+c")
        rows = list(csv.DictReader(io.StringIO(gui.wait_for("the clipboard", win.clipboard))))
        peak = int(rows[-1]["peak_bytes"]) / 2**30
        rate = float(rows[-1]["tokens_per_s_per_gpu"])
        assert abs(peak - point["gib"]) < 1e-6 * peak, (peak, point)
        assert abs(rate - point["tokens_per_s"]) < 1e-6 * rate, (rate, point)
        t.picture(win, "10-pareto")
        return f"{len(frontier)} frontier points; added “{rows[-1]['strategy']}”"
    finally:
        win.close()


def timeline_of(win):
    return win.fresh()["charts"]["timeline"]


@check
def check_11_12_timeline(t):
    """The wheel keeps the time under the mouse; F fits again; a drag tells totals that add up."""
    win = t.open("--select", "6")
    try:
        win.settled()
        gui.wait_for("the search", lambda: not win.dump()["search"]["running"], 60)
        win.move(5, 5)
        whole = timeline_of(win)
        before = t.picture(win, "11-whole", "timeline")
        lanes = whole["lanes"]

        def time_at(line, x):
            return line["start"] + (x - lanes["x"]) / lanes["w"] * (line["end"] - line["start"])

        x, y = lanes["x"] + 0.37 * lanes["w"], lanes["y"] + lanes["h"] / 2
        worst = 0.0
        win.move(x, y)
        for button in (4, 4, 4, 5):
            old = timeline_of(win)
            win.click(x, y, button=button)
            new = timeline_of(win)
            assert (new["start"], new["end"]) != (old["start"], old["end"]), "no zoom"
            shift = (time_at(new, x) - time_at(old, x)) / (new["end"] - new["start"]) * lanes["w"]
            worst = max(worst, abs(shift))
        assert worst <= 1, f"{worst:.2f} pixels"
        win.click(x, lanes["y"] + lanes["h"] / 2)
        win.key("Escape")
        win.key("f")
        win.move(5, 5)
        win.click_widget("strategies")
        win.click(*bar_point(win, "memory", 5))
        win.move(5, 5)
        time.sleep(0.3)
        count = t.differing(before, t.picture(win, "11-fitted", "timeline"))
        assert count == 0, f"{count} pixels differ after F"
        win.drag((lanes["x"] + 0.2 * lanes["w"], y), (lanes["x"] + 0.6 * lanes["w"], y))
        line = timeline_of(win)
        assert line["totals"], "no totals"
        t.picture(win, "12-totals", "timeline")
        assert line["totals_sum_ns"] == line["selected_ns"] * line["lane_count"], line
        return (f"time under the mouse moved at most {worst:.2f} pixels; totals and bubble = "
                f"{line['selected_ns']:,} ns × {line['lane_count']} lanes")
    finally:
        win.close()


MILLION = """name: a million events
model: llama-3-405b
training: {global_batch: 2048, micro_batch: 1, precision: bf16, optimizer: {adamw: {lr: 1e-4}}}
cluster: {gpu: h100-sxm, nodes: 16, gpus_per_node: 8}
strategies:
  - {name: small, tp: 8, pp: 16, ranks: 128, recompute: full, schedule: gpipe, micro_batch: 128}
  - {name: many events, tp: 8, pp: 16, ranks: 128, recompute: full, micro_batch: 2}
"""


@check
def check_13_million_events(t):
    """A timeline of a million events: frames within 50 ms, 100 MB."""
    folder = t.pictures / "13"
    folder.mkdir(exist_ok=True)
    path = folder / "million.yaml"
    path.write_text(MILLION)
    win = t.open(path, "--select", "1")
    try:
        win.settled()
        win.key("Escape")
        time.sleep(1)
        before = win.resident_bytes()
        win.click(*bar_point(win, "memory", 1))
        gui.wait_for("the timeline", lambda: win.dump()["selected"] == 1 and
                     "many events" in win.dump()["charts"]["timeline"]["text"], 30)
        win.fresh()
        line = timeline_of(win)
        grown = win.resident_bytes() - before
        lanes = line["lanes"]
        x, y = lanes["x"] + 0.5 * lanes["w"], lanes["y"] + lanes["h"] / 2
        frames = []
        for button in [4] * 12 + [5] * 12:
            win.click(x, y, button=button)
            frames.append(timeline_of(win)["replot_ms"])
        t.picture(win, "13-million", "timeline")
        figures = (f"{line['events']:,} events, slowest frame {max(frames):.1f} ms, "
                   f"{grown / 1e6:.0f} MB more")
        assert line["events"] >= 1_000_000, figures
        assert max(frames) <= 50, figures
        assert grown <= 100e6, figures
        return figures
    finally:
        win.close()


@check
def check_14_dark(t):
    """Ctrl+T: dark, the same colours in charts, and still dark after a restart."""
    home = t.pictures / "14"
    home.mkdir(exist_ok=True)
    win = t.open(home=home)
    try:
        win.settled()
        light = gui.colours(t.display, t.picture(win, "14-light", "memory"))
        assert not win.dump()["dark"]
        win.key("ctrl+t")
        gui.wait_for("the dark theme", lambda: win.dump()["dark"])
        win.fresh()
        dark = gui.colours(t.display, t.picture(win, "14-dark", "memory"))
        t.picture(win, "14-dark-window")
        for name, colour in PALETTE.items():
            assert (colour in light) == (colour in dark), name
        win.key("ctrl+q")
        win.process.wait(10)
    finally:
        win.close()
    again = t.open(home=home)
    try:
        assert again.settled()["dark"], "forgotten"
        again.key("ctrl+t")
        gui.wait_for("light", lambda: not again.dump()["dark"])
    finally:
        again.close()
    return "category colours equal in both; remembered"


@check
def check_15_copy(t):
    """Ctrl+Shift+C: CSV with a row per strategy, whose categories sum to the peak."""
    win = t.open()
    try:
        win.settled()
        win.key("ctrl+shift+c")
        rows = list(csv.DictReader(io.StringIO(gui.wait_for("the clipboard", win.clipboard))))
        assert len(rows) == 8
        for row in rows:
            if not row["peak_bytes"]:
                continue
            parts = [int(v) for k, v in row.items() if k.endswith("_bytes") and
                     k.removesuffix("_bytes") in
                     ("parameters", "gradients", "optimizer_states", "activations",
                      "communication", "workspace", "runtime")]
            assert len(parts) == 7 and sum(parts) == int(row["peak_bytes"]), row
        win.key("ctrl+shift+m")
        assert win.clipboard().lstrip().startswith("|")
        return f"{len(rows)} rows, {len(rows[0])} columns"
    finally:
        win.close()


@check
def check_16_export(t):
    """Export from the dialog: PNG, SVG and PDF; a folder that is not there is said in the window."""
    folder = t.pictures / "16"
    folder.mkdir(exist_ok=True)
    win = t.open()
    try:
        win.settled()
        for ending in ("png", "svg", "pdf"):
            target = folder / f"memory.{ending}"
            target.unlink(missing_ok=True)
            win.click(*bar_point(win, "memory", 2))
            win.key("ctrl+e")
            gui.wait_for("the dialog", lambda: win.has("fileNameEdit"))
            win.key("ctrl+a")
            win.write(str(target))
            win.key("Return")
            gui.wait_for(target.name, lambda f=target: f.exists() and f.stat().st_size > 1000)
            head = target.read_bytes()[:400]
            assert {"png": b"\x89PNG", "svg": b"<svg", "pdf": b"%PDF"}[ending] in head
        win.key("ctrl+e")
        gui.wait_for("the dialog", lambda: win.has("fileNameEdit"))
        win.key("ctrl+a")
        win.write("/proc/nowhere/x.png")
        win.key("Return")
        message = gui.wait_for("the message", lambda: "cannot write" in win.dump()["message"] and
                               win.dump()["message"])
        assert win.process.poll() is None
        return f"three files; “{message[:60]}…”"
    finally:
        win.close()


@check
def check_17_headless(t):
    """Without a display: every chart in every format, twice the same; bad path 2, bad file 3."""
    folder = t.pictures / "17"
    folder.mkdir(exist_ok=True)
    environment = {k: v for k, v in t.display.environment.items() if k != "DISPLAY"}

    def run(*words):
        return subprocess.run([t.program, *map(str, words)], env=environment, capture_output=True,
                              text=True, timeout=120)

    scenario = t.source / "scenarios/gpt-13b-16-gpus.yaml"
    written = 0
    for chart in CHARTS + ["ranks"]:
        for ending in ("png", "svg", "pdf"):
            files = [folder / f"{chart}-{i}.{ending}" for i in (1, 2)]
            for file in files:
                result = run(scenario, "--select", "6", "--chart", chart, "--export", file)
                assert result.returncode == 0, result.stderr
                assert file.stat().st_size > 500
                written += 1
            if ending == "png":
                assert files[0].read_bytes() == files[1].read_bytes(), f"{chart}: differs"
    for name in ("table.csv", "table.md", "report.pdf", "trace.json"):
        result = run(scenario, "--select", "6", "--export", folder / name)
        assert result.returncode == 0, result.stderr
        written += 1
    json.loads((folder / "trace.json").read_text())
    shot = run(scenario, "--screenshot", folder / "window.png", "--size", "1440x900")
    assert shot.returncode == 0, shot.stderr
    assert run("--export", "/proc/nowhere/x.png", "--chart", "memory").returncode == 2
    assert run("--exprot", "x").returncode == 2
    broken = folder / "broken.json"
    broken.write_text('{"model": "gpt2-124m",\n "training": {"global_batch": }}\n')
    result = run(broken, "--export", folder / "x.csv")
    assert result.returncode == 3, result
    assert re.search(r"broken\.json:2:\d+", result.stderr), result.stderr
    command = subprocess.run([t.command_line, "simulate", str(broken)], capture_output=True, text=True)
    assert result.stderr.split(":", 1)[1] == command.stderr.split(":", 1)[1], "another text"
    return f"{written} files; “{result.stderr.strip()[:70]}…”"


@check
def check_18_open(t):
    """Argument, Ctrl+O and recent lead to the same; a broken file changes nothing; changes are guarded."""
    folder = t.pictures / "18"
    folder.mkdir(exist_ok=True)
    path = t.small_scenario(folder)
    broken = folder / "broken.yaml"
    broken.write_text("model: gpt2-124m\ntraining: {global_batch: 8, micro_bacth: 2}\n")
    home = folder / "home"
    win = t.open(path, home=home)
    try:
        by_argument = win.settled()["strategies"]

        def open_by_dialog(target):
            win.key("ctrl+o")
            gui.wait_for("the dialog", lambda: win.has("fileNameEdit"))
            win.key("ctrl+a")
            win.write(str(target))
            win.key("Return")
            gui.wait_for("its end", lambda: not win.has("fileNameEdit"))

        open_by_dialog(t.source / "scenarios/gpt2-h100.yaml")
        other = win.settled()["strategies"]
        assert other != by_argument
        open_by_dialog(path)
        assert win.settled()["strategies"] == by_argument
        open_by_dialog(broken)
        message = gui.wait_for("the message", lambda: win.dump()["message"])
        assert "broken.yaml:2:" in message and "micro_batch" in message, message
        dump = win.settled()
        assert dump["strategies"] == by_argument and not dump["modified"]
        win.click(*bar_point(win, "memory", 1))
        win.click_widget("button_duplicate")
        gui.wait_for("the change", lambda: win.dump()["modified"])
        win.key("ctrl+q")
        gui.wait_for("the question", lambda: win.has("unsaved"))
        t.picture(win, "18-unsaved")
        win.key("Escape")
        gui.wait_for("its end", lambda: not win.has("unsaved"))
        assert win.process.poll() is None and win.dump()["modified"]
        return f"“{message[:90]}…”"
    finally:
        win.close()


@check
def check_19_keyboard(t):
    """Tab reaches every control; every command of the toolbar has a key; ? lists them."""
    win = t.open()
    try:
        dump = win.settled()
        wanted = {w["name"] for w in dump["widgets"] if w["focusable"] and w["enabled"] and
                  not w["name"].startswith("qt_")}
        win.click_widget("strategies")
        reached = set()
        for _ in range(3 * len(wanted)):
            win.key("Tab")
            time.sleep(0.03)
            reached |= {w["name"] for w in win.fresh()["widgets"] if w["focus"]}
            if wanted <= reached:
                break
        missing = wanted - reached
        assert not missing, f"not reached by Tab: {missing}"
        for name in ("memory", "strategies", "tp", "model"):
            assert win.widget(name)["accessible"], name
        win.click_widget("memory")
        win.key("question")
        gui.wait_for("the list of shortcuts", lambda: win.has("shortcuts_text"))
        t.picture(win, "19-shortcuts")
        win.key("Escape")
        return f"{len(reached)} widgets by Tab"
    finally:
        win.close()


@check
def check_20_scale_and_measured(t):
    """Twice the size, and 1024 × 700; a measured report shows its error and goes stale."""
    for name, environment, size in (("20-scale-2", {"QT_SCALE_FACTOR": "2"}, "800x500"),
                                    ("20-small", {}, "1024x700")):
        win = t.open("--size", size, environment=environment)
        try:
            dump = win.settled()
            t.picture(win, name)
            assert not win.dialogs() and len(dump["strategies"]) == 8
        finally:
            win.close()
    folder = t.pictures / "20"
    folder.mkdir(exist_ok=True)
    cache = folder / "cache"
    (cache / "shardscope").mkdir(parents=True, exist_ok=True)
    calibration = cache / "shardscope/this-machine.yaml"
    if not calibration.exists():
        subprocess.run([t.command_line, "calibrate", "--quick", "--output", str(calibration)],
                       check=True, capture_output=True)
    scenario = folder / "tiny.yaml"
    scenario.write_text(
        "name: tiny\nmodel: {gpt: {layers: 2, hidden: 64, heads: 4, vocab: 128, seq: 64}}\n"
        "training: {global_batch: 8, micro_batch: 2, steps: 4}\n"
        "cluster: {this_machine: {ranks: 2}}\nstrategies: [ddp, zero-3]\n")
    environment = {"XDG_CACHE_HOME": str(cache)}
    report = folder / "measured.json"
    subprocess.run([t.command_line, "run", str(scenario), "--json", "--output", str(report)],
                   check=True, capture_output=True, env={**t.display.environment, **environment})
    win = t.open(scenario, report, environment=environment)
    try:
        dump = win.settled()
        column = next(i for i, cell in enumerate(dump["strategies"][0]) if "%" in cell and "(" in cell)
        fresh = dump["strategies"][0][column]
        assert "stale" not in fresh, fresh
        t.picture(win, "20-measured")
        win.set_number("global_batch", 16)
        stale = win.settled()["strategies"][0][column]
        assert "stale" in stale, stale
        t.picture(win, "20-stale")
        win.key("ctrl+z")
        assert win.settled()["strategies"][0][column] == fresh
        return f"“{fresh}”, then “{stale}”"
    finally:
        win.close()


@check
def check_21_real_run(t):
    """A real run from the window: live figures, and its measurement beside the simulation."""
    folder = t.pictures / "20"  # with the calibration of check 20
    environment = {"XDG_CACHE_HOME": str(folder / "cache")}
    win = t.open(folder / "tiny.yaml", environment=environment)
    try:
        win.settled()
        win.key("F9")
        gui.wait_for("the panel", lambda: win.has("run_start"))
        win.click_widget("run_start")
        gui.wait_for("a measurement", lambda: any(
            "%" in cell and "(" in cell for cell in win.dump()["strategies"][0]), 60)
        win.fresh()
        t.picture(win, "21-run")
        cell = next(c for c in win.dump()["strategies"][0] if "%" in c and "(" in c)
        return f"measured “{cell}”"
    finally:
        win.close()


def main(arguments):
    missing = gui.missing_tools()
    if missing:
        print(f"skipped: {', '.join(missing)} not installed (scripts/dependencies.txt)")
        return 77
    tester = Tester(*arguments[:4])
    numbers = arguments[4:]
    failed = 0
    try:
        for function in CHECKS:
            name = function.__name__.removeprefix("check_")
            if numbers and not any(n in name.split("_") for n in numbers):
                continue
            try:
                print(f"ok      {name}: {function(tester)}", flush=True)
            except Exception as error:  # a check that fails does not keep the others from running
                failed += 1
                print(f"FAILED  {name}: {error}", flush=True)
                if not isinstance(error, AssertionError):
                    traceback.print_exc()
    finally:
        tester.display.close()
    print(f"{failed} failed; pictures in {tester.pictures}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
