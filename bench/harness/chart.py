"""A bar chart of a benchmark's rows, one bar for each contender, drawn with OpenCV."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from bench.harness.table import Row, ratio, title

WIDTH, ROW, GAP = 1100, 20, 14
NAMES, BARS = 250, 560
FONT, SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.42
BLACK, GREY, BLUE, ORANGE = (0, 0, 0), (165, 165, 165), (176, 114, 60), (60, 130, 220)


def draw(rows: Sequence[Row], path: Path) -> None:
    """Write a PNG: rows of one title form a group, whose bars share a scale.

    Our backends are blue, the reference grey, others orange. Beside a time is the speed-up over
    the reference, or over the official contender if there is no reference.
    """
    groups = [list(group) for _, group in groupby(rows, key=title)]
    height = GAP + sum((len(group) + 1) * ROW + GAP for group in groups)
    picture = np.full((height, WIDTH, 3), 255, np.uint8)
    top = GAP
    for group in groups:
        write(picture, title(group[0]), 10, top)
        longest = max(row.timing.median for row in group)
        for row in group:
            top += ROW
            bar(picture, row, longest, top)
        top += ROW + GAP
    save(picture, path)


def save(picture: npt.NDArray[np.uint8], path: Path) -> None:
    """Write a PNG."""
    done, data = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    assert done
    path.write_bytes(data.tobytes())


def bar(picture: npt.NDArray[np.uint8], row: Row, longest: float, top: int) -> None:
    """Draw one contender's name, bar and time."""
    seconds = row.timing.median
    length = max(1, round(BARS * seconds / longest))
    ours = row.name.startswith(("native", "triton"))
    colour = BLUE if ours else GREY if row.name == "reference" else ORANGE
    cv2.rectangle(picture, (NAMES, top + 3), (NAMES + length, top + ROW - 4), colour, -1)
    write(picture, row.name, 30, top)
    times = row.times_official if row.times_reference is None else row.times_reference
    text = f"{1000 * seconds:.2f} ms   x{ratio(times)}"
    write(picture, text, NAMES + length + 8, top)


def write(picture: npt.NDArray[np.uint8], text: str, left: int, top: int) -> None:
    """Write a line of text whose row begins at `top`."""
    cv2.putText(picture, text, (left, top + ROW - 6), FONT, SCALE, BLACK, 1, cv2.LINE_AA)
