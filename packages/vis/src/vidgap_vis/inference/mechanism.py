"""What a network does before any tracker: masks where instances are hidden, queries that stay."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from vidgap_vis.formats.youtube_vis import VideoInfo
from vidgap_vis.inference.sights import FOUND, Sights

LEVELS = ("no_occlusion", "slight_occlusion", "severe_occlusion")
"""How much of an instance is hidden in a frame, in OVIS's words."""


def mask_quality(
    videos: Iterable[tuple[VideoInfo, Sights]],
) -> dict[str, dict[str, float | None]]:
    """Measure masks by how much of their instance is hidden in the frame.

    Args:
        videos: with truth that says it, and as the network shows them.

    Returns:
        For each of `LEVELS`: "iou", the mean over instances and frames of the IoU of the mask that
        covers the instance best, "found", the share where it is a half or more, and "num" of them;
        None where there are none.
    """
    ious: dict[str, list[float]] = {level: [] for level in LEVELS}
    for video, sights in videos:
        for row, instance in enumerate(video.instances):
            words = instance.occlusion or [None] * len(video)
            for time in np.flatnonzero(sights.visible[row]).tolist():
                word = words[time]
                if word in ious:
                    ious[word].append(float(sights.ious[row, time]))
    return {level: _quality(values) for level, values in ious.items()}


def staying(videos: Iterable[Sights]) -> dict[str, float | None]:
    """Measure how often an instance is covered by the query that covered it before.

    Returns:
        "next": of the pairs of neighbouring frames in both of which a query covers an instance, the
        share in which it is the same one; "return": of the frames before and after absences; None
        where there are none.
    """
    same: dict[str, list[bool]] = {"next": [], "return": []}
    for sights in videos:
        for row, found in enumerate(sights.found):
            times = np.flatnonzero(sights.visible[row]).tolist()
            for before, after in pairwise(times):
                if found[before] and found[after]:
                    kind = "next" if after == before + 1 else "return"
                    same[kind].append(bool(sights.best[row, before] == sights.best[row, after]))
    return {kind: _mean(values) for kind, values in same.items()}


def _quality(ious: Sequence[float]) -> dict[str, float | None]:
    values = np.array(ious)
    return {"iou": _mean(values), "found": _mean(values >= FOUND), "num": float(len(values))}


def _mean(values: Sequence[bool] | npt.NDArray) -> float | None:
    return float(np.mean(values)) if len(values) else None
