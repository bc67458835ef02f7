"""The arms of an experiment as a chart: every seed, the mean, and what is gained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from vidgap_vis.errors import ConfigError
from vidgap_vis.files import replacing

FORMATS = (".png", ".svg")
SHOWN = "AP50"
BLUE, ORANGE = "#0072b2", "#d55e00"


def check_plot(path: Path) -> None:
    """Raise ConfigError where no chart can be written."""
    if path.suffix not in FORMATS:
        message = f"wanted a name that ends in {' or '.join(FORMATS)}, got {path}"
        raise ConfigError("", "--plot", message)
    if find_spec("matplotlib") is None:
        message = "needs the package matplotlib: pip install 'vidgap-vis[plot]'"
        raise ConfigError("", "--plot", message)


def write_plot(path: Path, data: Mapping[str, Any]) -> None:
    """Draw AP50 of every arm, and what is gained, each with every seed and its interval.

    Args:
        path: PNG or SVG.
        data: of a `Summary`.
    """
    from matplotlib.figure import Figure

    arms = {
        name: [record["metrics"][SHOWN] for record in arm["seeds"].values()]
        for name, arm in data["arms"].items()
        if arm["spread"]
    }
    gains = {
        f"{name} - {arm['gain over']}": arm["gain"][SHOWN]
        for name, arm in data["arms"].items()
        if arm["gain"] is not None
    } | {name: gain[SHOWN] for name, gain in data["pairs"].items()}
    rows = max(len(arms), len(gains))
    figure = Figure(figsize=(11, 1.2 + 0.32 * rows), layout="constrained")
    left, right = figure.subplots(1, 2)
    for row, values in enumerate(arms.values()):
        known = [100 * value for value in values if value is not None]
        left.plot(known, np.full(len(known), row), "o", color=BLUE, alpha=0.5, markersize=4)
        if known:
            left.plot([np.mean(known)], [row], "|", color=BLUE, markersize=14)
    left.set(title=f"{SHOWN}: seeds, and their mean", xlim=(0, None))
    for row, gain in enumerate(gains.values()):
        seeds = [100 * value for value, _, _ in gain["seeds"].values() if value is not None]
        right.plot(seeds, np.full(len(seeds), row), "o", color=ORANGE, alpha=0.5, markersize=4)
        if gain["low"] is not None:
            ends = [100 * gain["low"], 100 * gain["high"]]
            right.plot(ends, [row, row], "-", color=ORANGE, linewidth=1.5)
    right.axvline(0, color="0.5", linewidth=1)
    right.set(title=f"Gained in {SHOWN}, and the 95 % interval")
    for axes, names in ((left, arms), (right, gains)):
        _label(axes, [*names], rows)
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], dpi=150)


def _label(axes: Any, names: Sequence[str], rows: int) -> None:
    """Name the rows of one chart, the first one on top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.grid(axis="x", alpha=0.3)
