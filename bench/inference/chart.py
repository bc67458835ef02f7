"""Where the time of a frame goes, as a chart of stacked bars."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from bench.harness.chart import BARS, GAP, GREY, NAMES, ROW, WIDTH, save, write
from vidgap_vis.speed import STAGES

LEGEND = 4  # stages a line
COLOURS = {
    "backbone": (176, 114, 60),
    "encoder": (214, 170, 120),
    "temporal": (60, 130, 220),
    "decoder": (120, 200, 120),
    "compiled network": (176, 114, 60),
    "decode": (150, 90, 160),
    "to device": (200, 160, 210),
    "tracker": (60, 60, 200),
    "masks to run lengths": (90, 90, 90),
    "draw": (80, 190, 230),
    "encode": (40, 90, 120),
}
"""By stage, BGR."""


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Write a PNG: a bar a row, made of its stages, and one of Hugging Face below it.

    Args:
        rows: of the report of `bench.inference.times`.
        path: of the picture.
    """
    bars = [(name(row), {stage: row["ms"][stage] for stage in STAGES}) for row in rows]
    theirs = {name(row): row["hugging_face"] for row in rows if "hugging_face" in row}
    longest = max([*theirs.values(), *(sum(ms.values()) for _, ms in bars)])
    height = 2 * GAP + (len(bars) + len(theirs) + -(-len(COLOURS) // LEGEND) + 2) * ROW
    picture = np.full((height, WIDTH, 3), 255, np.uint8)
    top = GAP
    write(picture, "ms a frame, one stage after another; frames a step x tracks", 10, top)
    for label, ms in bars:
        top += ROW
        left = float(NAMES)
        write(picture, label, 10, top)
        for stage in STAGES:
            left = block(picture, left, BARS * ms[stage] / longest, top, COLOURS[stage])
        write(picture, f"{sum(ms.values()):.0f} ms", int(left) + 8, top)
        if label in theirs:
            top += ROW
            write(picture, "Hugging Face, masks alone", 26, top)
            left = block(picture, float(NAMES), BARS * theirs[label] / longest, top, GREY)
            write(picture, f"{theirs[label]:.0f} ms", int(left) + 8, top)
    for index, (stage, colour) in enumerate(COLOURS.items()):
        if index % LEGEND == 0:
            top += ROW
        column = 10 + index % LEGEND * (WIDTH // LEGEND)
        block(picture, column, 14, top + 4, colour)
        write(picture, stage, column + 22, top + 4)
    save(picture, path)


def name(row: dict[str, Any]) -> str:
    """Return what a row measures."""
    module = "" if row["module"] else ", no module"
    size = "" if row["short_edge"] is None else f" {row['short_edge']}"
    return f"{row['backbone']}{size}{module}: {row['frames']} x {row['tracks']}"


def block(
    picture: npt.NDArray[np.uint8],
    left: float,
    length: float,
    top: int,
    colour: tuple[int, int, int],
) -> float:
    """Draw a part of a bar; return where it ends."""
    right = left + length
    if round(right) > round(left):
        corner = (round(right) - 1, top + ROW - 4)
        cv2.rectangle(picture, (round(left), top + 3), corner, colour, -1)
    return right
