"""Milliseconds that a tracker takes for a frame, mask overlaps and their packing included.

Frames are made up: masks at stride 4 of 360x640, discs that move; embeddings of 256 channels that
wander about their object's. Of Q queries half or fewer pass the scores, and all objects are known
after the first frame. Times are processor time of one thread, a sample a frame, after a tenth of
the frames. Beside them: the share of detections with the identity that their object had first;
discs that cover each other are duplicates to a tracker for a while, and overlap misleads `query`.
`idol` and `masktrack` take their boxes from the masks; `masktrack` has the embeddings as they are,
without its head, and keeps all detections.
NumPy's threads wait busily, which counts: run it with OPENBLAS_NUM_THREADS=1.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tabulate import tabulate

from bench.harness.timing import circumstances
from bench.trackers.heads import measure_heads
from vidgap_vis.trackers import (
    Associator,
    Detections,
    IndexAssociator,
    MemoryOptions,
    MinVISAssociator,
    QueryAssociator,
    QueryOptions,
)
from vidgap_vis.trackers.ctvis import CTVISAssociator, CTVISOptions
from vidgap_vis.trackers.idol import IDOLAssociator
from vidgap_vis.trackers.masktrack import MaskTrackAssociator, MaskTrackOptions

CHANNELS, SIZE, NUM_CLASSES = 256, (90, 160), 40
PACKAGES = ["vidgap-vis", "torch", "numpy", "scipy"]


@dataclass(frozen=True)
class Work:
    """A frame's queries, and how many of them show objects."""

    num_queries: int
    num_objects: int


WORKS = (Work(100, 10), Work(100, 50), Work(300, 50), Work(1000, 200))
ASSOCIATORS: dict[str, Callable[[], Associator]] = {
    "ctvis": lambda: CTVISAssociator(CTVISOptions()),
    "minvis": MinVISAssociator,
    "idol": IDOLAssociator,
    "masktrack": lambda: MaskTrackAssociator(MaskTrackOptions(max_detections=1000)),
    "query": lambda: QueryAssociator(QueryOptions()),
    "index": lambda: IndexAssociator(MemoryOptions()),
}


def frames(work: Work, count: int) -> Iterator[Detections]:
    """Yield made-up frames; object i is query i."""
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
        masks = np.zeros((work.num_queries, height, width), np.bool_)
        for index, ((y, x), radius) in enumerate(zip(centres, radii, strict=True)):
            masks[index] = (rows - y) ** 2 + (columns - x) ** 2 < radius**2
        yield Detections(probabilities, noise, masks)


def timed(associator: Associator, work: Work, count: int) -> tuple[list[float], float]:
    """Return seconds a frame, and the share of detections with their object's first identity."""
    seconds, first, kept = [], {}, []
    for frame in frames(work, count):
        start = time.process_time()
        assignment = associator.update(frame)
        seconds.append(time.process_time() - start)
        for query, id_ in enumerate(assignment.ids[: work.num_objects].tolist()):
            if id_:
                kept.append(first.setdefault(query, id_) == id_)
    return seconds[count // 10 :], float(np.mean(kept))


def measure(count: int, path: Path | None) -> bool:
    """Measure, print, and write to a file, if there is one; return True."""
    torch.set_num_threads(1)
    report: dict[str, Any] = circumstances(PACKAGES) | {"frames": count, "size": list(SIZE)}
    rows: list[dict[str, Any]] = []
    for work in WORKS:
        for name, make in ASSOCIATORS.items():
            seconds, kept = timed(make(), work, count)
            quartiles = (1e3 * np.percentile(seconds, [50, 25, 75])).round(3).tolist()
            rows.append({"tracker": name, **asdict(work), "ms": quartiles, "kept": round(kept, 4)})
    cells = [
        [
            row["tracker"],
            f"{row['num_objects']} of {row['num_queries']}",
            f"{row['ms'][0]:.2f}",
            f"[{row['ms'][1]:.2f}, {row['ms'][2]:.2f}]",
            f"{row['kept']:.2%}",
        ]
        for row in rows
    ]
    names = ("tracker", "objects", "ms a frame", "quartiles", "identity kept")
    aligned = ("left", "right", "right", "right", "right")
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
