"""Milliseconds that the overlay of a frame takes: tracks as run lengths in, a picture out.

Frames and tracks are made up: noise as rough as photographs, and wobbly blobs whose areas are up
to a fifth of the frame, 2.8 % in the mean; each has a caption of a name, an id and a score. One
case has small frames, which are enlarged by 2. Contenders are drawing by boxes with the kernel that
decodes them, the same in Python alone, and drawing by masks of the whole frame, decoded first, as
it was done before. Pictures that differ from the latter's by more than a grey level are reported,
not timed. Times are processor time of one thread, turn by turn.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from tabulate import tabulate

from bench.augment.inputs import blobs, smooth_noise
from bench.drawing import whole_masks
from bench.harness.cpu import Effort
from bench.harness.cpu import measure as timed
from bench.harness.timing import circumstances
from vidgap_vis import native
from vidgap_vis.formats.images import Picture
from vidgap_vis.formats.rle import Rle
from vidgap_vis.video.overlay import draw_tracks

PACKAGES = ["vidgap-vis", "numpy", "opencv-python-headless"]
HD = (720, 1280)
TOLERANCE = 1
"""Grey levels."""
WHOLE = "whole masks"


@dataclass(frozen=True)
class Work:
    """A frame of `size` (H, W) with so many tracks, enlarged by `scale`."""

    num_tracks: int
    size: tuple[int, int] = HD
    scale: int = 1


WORKS = (Work(1), Work(10), Work(30), Work(10, (180, 320), 2))


@dataclass(frozen=True)
class Scene:
    """What is drawn."""

    frame: Picture
    rles: tuple[Rle, ...]
    ids: tuple[int, ...]
    captions: tuple[str, ...]
    scale: int

    @classmethod
    def of(cls, work: Work) -> Scene:
        """Make one up."""
        rng = np.random.default_rng(0)
        frame = smooth_noise(work.size, rng)
        found = blobs(work.num_tracks, work.size, rng)
        rles = tuple(Rle.encode(blob.mask(work.size, 0).astype(np.bool_)) for blob in found)
        ids = tuple(range(1, work.num_tracks + 1))
        captions = tuple(f"person {number} 0.{90 - number}" for number in ids)
        return cls(frame, rles, ids, captions, work.scale)

    def drawn_by(self, draw: Callable[..., Picture]) -> Picture:
        """Return the picture."""
        return draw(self.frame, self.rles, self.ids, self.captions, scale=self.scale)


def contenders(scene: Scene) -> dict[str, Callable[[], Picture]]:
    """Return who draws a scene."""

    def in_python() -> Picture:
        with reference():
            return scene.drawn_by(draw_tracks)

    calls = {WHOLE: lambda: scene.drawn_by(whole_masks.draw_tracks), "boxes, Python": in_python}
    if native.obstacle() is None:
        calls["boxes"] = lambda: scene.drawn_by(draw_tracks)
    return calls


@contextmanager
def reference() -> Iterator[None]:
    """Keep the extension from being used."""
    before = os.environ.get("VIDGAP_BACKEND")
    os.environ["VIDGAP_BACKEND"] = "reference"
    try:
        yield
    finally:
        if before is None:
            del os.environ["VIDGAP_BACKEND"]
        else:
            os.environ["VIDGAP_BACKEND"] = before


def differences(calls: Mapping[str, Callable[[], Picture]]) -> dict[str, tuple[int, int]]:
    """Return how many pixels of each picture differ from those of whole masks, and by how much."""
    wanted = calls[WHOLE]().astype(np.int16)
    found = {}
    for name, call in calls.items():
        levels = np.abs(call() - wanted).max(axis=-1)
        found[name] = (int(np.count_nonzero(levels)), int(levels.max()))
    return found


def measure(effort: Effort, path: Path | None) -> bool:
    """Check, measure, print, and write to a file, if there is one; return whether all agree."""
    threads = cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        return _measure(effort, path)
    finally:
        cv2.setNumThreads(threads)


def _measure(effort: Effort, path: Path | None) -> bool:
    report: dict[str, Any] = circumstances(PACKAGES) | {"rows": []}
    agree = True
    for work in WORKS:
        calls = contenders(Scene.of(work))
        found = differences(calls)
        for name, (pixels, levels) in found.items():
            if levels > TOLERANCE:
                agree = False
                print(f"{name} DISAGREES: {pixels} pixels of {work}, {levels}", file=sys.stderr)
                del calls[name]
        times = timed(calls, effort)
        for name, timing in times.items():
            report["rows"].append(
                {
                    **asdict(work),
                    "contender": name,
                    "pixels_that_differ": found[name][0],
                    "times_whole_masks": round(times[WHOLE].median / timing.median, 2),
                    **timing.as_json(),
                }
            )
    print_table(report["rows"])
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        print(f"\nwritten: {path}")
    return agree


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print a line for each row."""
    cells = [
        [
            f"{row['num_tracks']} at {row['size'][0]}x{row['size'][1]}, x{row['scale']}",
            row["contender"],
            f"{row['process_ms']['median']:.2f}",
            f"[{row['process_ms']['q1']:.2f}, {row['process_ms']['q3']:.2f}]",
            f"{row['times_whole_masks']:.2f}",
            "-" if row["peak_mib"] is None else f"{row['peak_mib']:.0f}",
            str(row["pixels_that_differ"]),
        ]
        for row in rows
    ]
    heads = ("tracks", "", "ms", "quartiles", "x whole masks", "peak MiB", "pixels that differ")
    aligned = ("left", "left", *["right"] * 5)
    print(tabulate(cells, heads, disable_numparse=True, colalign=aligned))
