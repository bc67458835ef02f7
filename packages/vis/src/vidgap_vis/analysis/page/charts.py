"""AP by IoU as a line chart: where its points lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT = 560, 300
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 12, 40
"""Margins, for the axes."""


@dataclass(frozen=True)
class Curve:
    """A curve of the chart, in its coordinates.

    Attributes:
        line: its points, as SVG writes them.
        band: its intervals, an outline; "": there are none.
        points: (x, y, text) each.
    """

    line: str
    band: str
    points: list[tuple[float, float, str]]


def x_of(iou: float) -> float:
    """Return where an IoU lies, 0.5 to 0.95 from left to right."""
    return round(LEFT + (iou - 0.5) / 0.45 * (WIDTH - LEFT - RIGHT), 1)


def y_of(value: float) -> float:
    """Return where an AP lies, 0 to 1 from the bottom up."""
    return round(HEIGHT - BOTTOM - value * (HEIGHT - TOP - BOTTOM), 1)


def curve(thresholds: Sequence[Mapping[str, Any]]) -> Curve:
    """Return the curve of AP over IoU; points without a value are left out."""
    known = [row for row in thresholds if row["ap"] is not None]
    points = [
        (x_of(row["iou"]), y_of(row["ap"]), f"IoU {row['iou']:.2f}: {100 * row['ap']:.1f}")
        for row in known
    ]
    bounded = [row for row in known if row["interval"][0] is not None]
    low = [f"{x_of(row['iou'])},{y_of(row['interval'][0])}" for row in bounded]
    high = [f"{x_of(row['iou'])},{y_of(row['interval'][1])}" for row in bounded]
    return Curve(
        line=" ".join(f"{x},{y}" for x, y, _ in points),
        band=" ".join([*high, *reversed(low)]),
        points=points,
    )
