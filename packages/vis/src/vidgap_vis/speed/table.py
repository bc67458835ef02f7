"""Speeds as a table for the screen."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from vidgap_vis.speed.measure import END_TO_END, STAGES, Speed


def format_speeds(speeds: Sequence[Speed]) -> str:
    """Lay out milliseconds a frame: a line for each stage that there is, a column for each case."""
    cases = [speed.case for speed in speeds]
    columns = [f"{case.short_edge}: {case.frames} x {case.tracks}" for case in cases]
    stages = [name for name in STAGES if any(speed.ms[name] for speed in speeds)]
    lines = [[name, *(_text(speed.ms[name]) for speed in speeds)] for name in stages]
    lines.append(["network", *(_text(speed.network) for speed in speeds)])
    lines.append(["everything else", *(_text(speed.rest) for speed in speeds)])
    lines.append([END_TO_END, *(_text(speed.ms[END_TO_END]) for speed in speeds)])
    lines.append(["frames a second", *(f"{1e3 / speed.ms[END_TO_END]:.2f}" for speed in speeds)])
    return tabulate(
        lines,
        ["ms a frame; short edge: frames a step x tracks", *columns],
        disable_numparse=True,
        colalign=["left", *["right"] * len(columns)],
    )


def _text(ms: float) -> str:
    return f"{ms:.1f}"
