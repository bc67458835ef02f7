"""Where look-alikes cross: the moments at which a tracker can confuse identities."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from vidgap_vis.synthetic.render import Render
from vidgap_vis.synthetic.scene import Scene

MIN_OVERLAP = 0.5
"""The share of the smaller footprint that the other must cover in some frame of a crossing."""


@dataclass(frozen=True)
class Crossing:
    """Two look-alikes come together and part again.

    Attributes:
        first, second: their indices in the scene.
        before, after: the last frame before and the first one after, in which both are seen and
            their footprints share no pixel; in every frame between these they share some.
    """

    first: int
    second: int
    before: int
    after: int


def find_crossings(scene: Scene, render: Render, min_area: int = 1) -> list[Crossing]:
    """Find the crossings of look-alikes in a clip, by pair, then by time.

    Args:
        scene: of the clip.
        render: of the same scene.
        min_area: visible pixels that an instance must have in the frames before and after.
    """
    seen = render.masks.sum(axis=(2, 3)) >= min_area  # (N, T)
    crossings = []
    for first, second in combinations(range(len(scene.instances)), 2):
        if scene.instances[first].role.group != scene.instances[second].role.group:
            continue
        overlap = overlaps(render.footprints[first], render.footprints[second])
        both = seen[first] & seen[second]
        for before, after in runs_between(overlap > 0):
            if both[before] and both[after] and overlap[before:after].max() >= MIN_OVERLAP:
                crossings.append(Crossing(first, second, before, after))
    return crossings


def overlaps(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the share (T,) of the smaller footprint that the other one (T, H, W) covers."""
    shared = (first & second).sum(axis=(1, 2))
    smaller = np.minimum(first.sum(axis=(1, 2)), second.sum(axis=(1, 2)))
    return shared / np.maximum(smaller, 1)


def runs_between(active: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return (last frame before, first frame after) of every run of True that has both."""
    change = np.diff(active.astype(np.int8))
    starts, stops = np.flatnonzero(change == 1), np.flatnonzero(change == -1) + 1
    return [(int(s), int(stops[stops > s][0])) for s in starts if (stops > s).any()]
