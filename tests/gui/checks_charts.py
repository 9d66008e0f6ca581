"""Acceptance checks 10 to 13: the search chart and the timeline."""

import csv
import io
import time

import window as gui
from tester import TIMES, bar_point, check


@check
def check_10_pareto(t):
    """No frontier point beyond the capacity; a double click on a point adds exactly that strategy."""
    win = t.open()
    try:
        win.settled()
        gui.wait_for("the search", lambda: not win.dump()["search"]["running"], 240)
        dump = win.fresh()
        frontier, capacity = dump["search"]["frontier"], dump["search"]["capacity_gib"]
        assert frontier and all(p["gib"] <= capacity for p in frontier)
        # From the middle outwards: a marker of the table may lie on a point, and a double click on that
        # adds nothing.
        middle = len(frontier) // 2
        for point in sorted(frontier, key=lambda p: abs(frontier.index(p) - middle))[:6]:
            axes = dump["charts"]["pareto"]["axes"][0]
            x = axes["x"] + axes["w"] * (point["gib"] - axes["left"]) / (axes["right"] - axes["left"])
            y = axes["y"] + axes["h"] * (axes["top"] - point["tokens_per_s"]) / (axes["top"] - axes["bottom"])
            win.click(x, y, repeat=2)
            dump = win.settled()
            if len(dump["strategies"]) == 9:
                break
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
        gui.wait_for("the search", lambda: not win.dump()["search"]["running"], 240)
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
training: {global_batch: 208, micro_batch: 1, precision: bf16, optimizer: {adamw: {lr: 1e-4}}}
cluster: {gpu: h100-sxm, nodes: 16, gpus_per_node: 8}
strategies:
  - {name: few events, tp: 8, recompute: full, micro_batch: 13}
  - {name: many events, tp: 8, pp: 16, recompute: full}
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
        TIMES.expect(max(frames), 50, "ms a frame")
        assert grown <= 100e6, figures
        return figures
    finally:
        win.close()
