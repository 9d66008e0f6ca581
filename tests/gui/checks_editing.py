"""Acceptance checks 1 to 9: the first screen, edits, the slider, the search."""

import csv
import io
import re
import time

import window as gui
from tester import CATEGORIES, CHARTS, PALETTE, TIMES, bar_point, check


@check
def check_01_first_screen(t):
    """No arguments: a window within a second, 8 strategies, four charts, no dialog."""
    win = t.open()
    try:
        dump = win.settled()
        paint = dump["performance"]["first_paint_ms"]
        TIMES.expect(paint, 300, "ms to the first paint")
        TIMES.expect(win.seconds_to_start, 1, "s to start")
        assert len(dump["strategies"]) == 8
        verdicts = [row[-1] for row in dump["strategies"]]
        assert any("fits" in v for v in verdicts) and any("OOM" in v for v in verdicts)
        assert any("✕" in v for v in verdicts)
        gui.wait_for("the search", lambda: not win.dump()["search"]["running"], 240)
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
            numbers = re.findall(r"([\d,]+) B\b", line)
            if not numbers:
                continue
            count = int(numbers[0].replace(",", ""))
            name = next((c for c in CATEGORIES if line.strip().startswith(c)), None)
            if name:
                parts[name] = count
                assert "GiB" in line, line
            elif line.startswith("Peak"):
                total = count
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
        TIMES.expect(ms, 100, "ms to the frame")
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
        gui.wait_for("the search", lambda: not win.dump()["search"]["running"], 240)
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
        gui.wait_for("the search", lambda: not win.dump()["search"]["running"], 240)
        s = win.widget("sequence_slider")
        y = s["y"] + s["h"] / 2
        tokens = int(win.widget("sequence")["text"])

        def handle(position):  # of 41, where the handle's centre is
            return s["x"] + 7 + (s["w"] - 14) * position / 40

        win.drag((handle(int(s["text"])), y), (s["x"] + s["w"], y), steps=60, pause=0.015)
        win.settled()
        assert int(win.widget("sequence_slider")["text"]) == 40
        win.drag((handle(40), y), (handle(0) - 5, y), steps=60, pause=0.015)
        win.settled()
        win.drag((handle(0), y), (handle(22), y), steps=40, pause=0.015)
        dump = win.settled()
        edits = dump["performance"]["edits"]
        now = int(win.widget("sequence")["text"])
        assert edits["count"] >= 20, edits
        TIMES.expect(edits["p95_ms"], 50, "ms at the 95th percentile")
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
        gui.wait_for("the first search", lambda: not win.dump()["search"]["running"], 240)
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
        TIMES.expect(took, 200, "ms to stop")
        assert dump["search"]["cancelled"] and dump["search"]["points"] > 0
        time.sleep(0.5)
        before = win.cpu_seconds()
        time.sleep(2)
        busy = (win.cpu_seconds() - before) / 2
        TIMES.expect(busy, 0.15, "of a core afterwards")
        TIMES.expect(gap, 50, "ms without the event loop")
        return (f"{first['candidates']:,} candidates, {later['evaluated']:,} in 3 s; largest gap "
                f"{gap:.1f} ms; stopped after {took:.0f} ms with {dump['search']['points']:,} points; "
                f"then {busy:.0%} of a core")
    finally:
        win.close()
