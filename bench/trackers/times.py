"""Milliseconds that a tracker takes for a frame: of the association, and from the network's output.

Frames are made up: mask logits at stride 4 of 360x640, discs that move; embeddings of 256 channels
that wander about their object's. Of Q queries half or fewer pass the scores, and all objects are
known after the first frame. "ms a frame" is a step of the whole tracker: class probabilities, masks
of logits and their packing, association, and the scores of tracks; "of it association" begins with
bool masks of all queries and ends with identities, packing and overlaps included. Times are
processor time of one thread, a sample a frame, turn by turn, after a tenth of the frames. Beside
them: the share of detections with the identity that their object had first;
discs that cover each other are duplicates to a tracker for a while, and overlap misleads `query`.
`idol` and `masktrack` take their boxes from the masks; `masktrack` has the embeddings as they are,
without its head, and keeps all detections.
NumPy's threads wait busily, which counts: run it with OPENBLAS_NUM_THREADS=1.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tabulate import tabulate

from bench.harness.timing import circumstances
from bench.trackers.heads import measure_heads
from vidgap_segmenter import ClipOutput
from vidgap_vis.trackers import Associator, Detections, OnlineTracker, detections_of
from vidgap_vis.trackers.by_name import TRACKERS
from vidgap_vis.trackers.masktrack import MaskTrackOptions

CHANNELS, SIZE, STRIDE, NUM_CLASSES = 256, (90, 160), 4, 40
PACKAGES = ["vidgap-vis", "torch", "numpy", "scipy"]


@dataclass(frozen=True)
class Work:
    """A frame's queries, and how many of them show objects."""

    num_queries: int
    num_objects: int


WORKS = (Work(100, 10), Work(100, 50), Work(300, 50), Work(1000, 200))
OPTIONS = {"masktrack": MaskTrackOptions(max_detections=1000)}
"""Those that are not the tracker's own."""


def associator(name: str) -> Associator:
    """Return a new one."""
    kind, options, _ = TRACKERS[name]
    made: Associator = kind(OPTIONS.get(name) or options())
    return made


def frames(work: Work, count: int) -> Iterator[ClipOutput]:
    """Yield what a network says of made-up frames; object i is query i."""
    rng = np.random.default_rng(0)
    num = work.num_objects
    looks = rng.standard_normal((num, CHANNELS)).astype(np.float32)
    height, width = SIZE
    rows, columns = np.mgrid[0:height, 0:width]
    centres = rng.random((num, 2)) * SIZE
    speeds = rng.standard_normal((num, 2))
    radii = rng.uniform(3, 14, num)
    for _ in range(count):
        centres = (centres + speeds) % SIZE
        probabilities = np.full((work.num_queries, NUM_CLASSES), 1e-4, np.float32)
        probabilities[:num, 3] = rng.uniform(0.3, 0.9, num)
        noise = rng.standard_normal((work.num_queries, CHANNELS)).astype(np.float32)
        noise[:num] = looks + 0.2 * noise[:num]
        logits = np.full((work.num_queries, height, width), -5, np.float32)
        for index, ((y, x), radius) in enumerate(zip(centres, radii, strict=True)):
            logits[index] = radius**2 - ((rows - y) ** 2 + (columns - x) ** 2)
        no_instance = 1 - probabilities.sum(axis=1, keepdims=True)
        whole = np.log(np.concatenate([probabilities, no_instance], axis=1))
        yield ClipOutput(
            *(torch.from_numpy(array)[None, :, None] for array in (whole, logits, noise)),
            auxiliary=(),
            frame_size=(STRIDE * height, STRIDE * width),
            padded_size=(STRIDE * height, STRIDE * width),
        )


class Timed:
    """A tracker, and its association alone, on the same frames.

    Attributes:
        steps, associations: seconds of each frame.
        kept: for each detection that is a track, whether it has its object's first identity.
    """

    def __init__(self, name: str) -> None:
        self.tracker = OnlineTracker(associator(name), TRACKERS[name][2])
        self.alone = associator(name)
        self.steps: list[float] = []
        self.associations: list[float] = []
        self.kept: list[bool] = []
        self._first: dict[int, int] = {}

    def take(self, output: ClipOutput, frame: Detections, num_objects: int) -> None:
        """Take a frame, as the network gives it and as detections with bool masks."""
        start = time.process_time()
        self.tracker.step(output)
        middle = time.process_time()
        assignment = self.alone.update(frame)
        self.associations.append(time.process_time() - middle)
        self.steps.append(middle - start)
        for query, id_ in enumerate(assignment.ids[:num_objects].tolist()):
            if id_:
                self.kept.append(self._first.setdefault(query, id_) == id_)

    def as_json(self) -> dict[str, Any]:
        """Return median and quartiles in ms, after a tenth of the frames, and the share kept."""
        step, association = (
            (1e3 * np.percentile(seconds[len(seconds) // 10 :], [50, 25, 75])).round(3).tolist()
            for seconds in (self.steps, self.associations)
        )
        return {"step_ms": step, "ms": association, "kept": round(float(np.mean(self.kept)), 4)}


@torch.inference_mode()
def timed(work: Work, count: int) -> dict[str, Timed]:
    """Run all trackers over the same frames, turn by turn."""
    names = list(TRACKERS)
    found = {name: Timed(name) for name in names}
    for time_, output in enumerate(frames(work, count)):
        (lazy,) = detections_of(output)
        frame = Detections(lazy.class_probabilities, lazy.embeddings, np.asarray(lazy.masks))
        for turn in range(len(names)):
            found[names[(time_ + turn) % len(names)]].take(output, frame, work.num_objects)
    return found


def measure(count: int, path: Path | None) -> bool:
    """Measure, print, and write to a file, if there is one; return True."""
    torch.set_num_threads(1)
    report: dict[str, Any] = circumstances(PACKAGES) | {"frames": count, "size": list(SIZE)}
    rows: list[dict[str, Any]] = []
    for work in WORKS:
        for name, one in timed(work, count).items():
            rows.append({"tracker": name, **asdict(work), **one.as_json()})
    cells = [
        [
            row["tracker"],
            f"{row['num_objects']} of {row['num_queries']}",
            f"{row['step_ms'][0]:.2f}",
            f"[{row['step_ms'][1]:.2f}, {row['step_ms'][2]:.2f}]",
            f"{row['ms'][0]:.2f}",
            f"[{row['ms'][1]:.2f}, {row['ms'][2]:.2f}]",
            f"{row['kept']:.2%}",
        ]
        for row in rows
    ]
    names = (
        *("tracker", "objects", "ms a frame", "quartiles"),
        *("of it association", "quartiles", "identity kept"),
    )
    aligned = ("left", *["right"] * 6)
    print(tabulate(cells, names, disable_numparse=True, colalign=aligned), "\n")
    heads = measure_heads(max(3, count // 40))
    cells = [
        [row["head"], f"{row['ms'][0]:.1f}", f"[{row['ms'][1]:.1f}, {row['ms'][2]:.1f}]"]
        for row in heads
    ]
    names = ("head", "ms a frame", "quartiles")
    print(tabulate(cells, names, disable_numparse=True, colalign=aligned[:3]))
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            json.dumps(report | {"rows": rows, "heads": heads}, indent=1) + "\n", encoding="utf-8"
        )
        print(f"\nwritten: {path}")
    return True
