"""Track AP written from its definition, with dense masks and plain loops: the tests' oracle."""

from __future__ import annotations

from functools import cache

import numpy as np

from vidgap_vis.formats.results import Track

RANGES = {
    "all": (0, 1e5**2),
    "small": (0, 128**2),
    "medium": (128**2, 256**2),
    "large": (256**2, 1e5**2),
}


def volume(track: Track, size: tuple[int, int]) -> np.ndarray:
    """(T, H, W) bool."""
    empty = np.zeros(size, dtype=bool)
    return np.stack([empty if rle is None else rle.decode() for rle in track.masks])


class DenseTrack:
    def __init__(self, track: Track, size: tuple[int, int]) -> None:
        self.volume = volume(track, size)
        self.video_id, self.label = track.video_id, track.label
        self.score, self.is_crowd = track.score, track.is_crowd
        self.occlusion = track.occlusion
        areas = [frame.sum() for frame in self.volume if frame.any()]
        self.area = sum(areas) / len(areas) if areas else 0.0


@cache
def iou(a: DenseTrack, b: DenseTrack) -> float:
    union = (a.volume | b.volume).sum()
    return (a.volume & b.volume).sum() / union if union else 0.0


def dense_metrics(
    truths: list[Track], predictions: list[Track], video_ids: list[int], size: tuple[int, int]
) -> dict[str, float | None]:
    true = [DenseTrack(track, size) for track in truths]
    found = [DenseTrack(track, size) for track in predictions]
    thresholds = np.linspace(0.5, 0.95, 10)
    settings = {
        "AP": (0, thresholds, "all", 100),
        "AP50": (0, thresholds[:1], "all", 100),
        "AP75": (0, thresholds[5:6], "all", 100),
        "APs": (0, thresholds, "small", 100),
        "APm": (0, thresholds, "medium", 100),
        "APl": (0, thresholds, "large", 100),
        "AR1": (1, thresholds, "all", 1),
        "AR10": (1, thresholds, "all", 10),
        "AR100": (1, thresholds, "all", 100),
    }
    result: dict[str, float | None] = {}
    for name, (which, chosen, area, most) in settings.items():
        values = []
        for label in sorted({track.label for track in true}):
            mine = [t for t in true if t.label == label]
            theirs = [t for t in found if t.label == label]
            for threshold in chosen:
                pair = one_curve(mine, theirs, video_ids, threshold, RANGES[area], most)
                if pair is not None:
                    values.append(pair[which])
        result[name] = float(np.mean(values)) if values else None
    return result


def one_curve(true, found, video_ids, threshold, limits, most, hidden=None):
    """(AP, recall) of one label at one threshold, None without a truth that counts.

    `hidden` are the least and the largest occlusion of a truth that counts; None: all count.
    """
    low, high = limits
    num_truths = 0
    entries = []  # (score, right) in the order of the videos
    for video_id in video_ids:
        truths = [t for t in true if t.video_id == video_id]
        ignored = [
            t.is_crowd or not low <= t.area <= high or not is_within(t.occlusion, hidden)
            for t in truths
        ]
        num_truths += ignored.count(False)
        best_first = sorted((t for t in found if t.video_id == video_id), key=lambda t: -t.score)
        used = set()
        for prediction in best_first[:most]:
            ious = [iou(prediction, truth) for truth in truths]
            choice = None
            for want_ignored in (False, True):
                for n, truth in enumerate(truths):
                    if ignored[n] != want_ignored or (n in used and not truth.is_crowd):
                        continue
                    if ious[n] >= threshold and (choice is None or ious[n] >= ious[choice]):
                        choice = n
                if choice is not None:
                    break
            if choice is not None:
                used.add(choice)
                if not ignored[choice]:
                    entries.append((prediction.score, True))
            elif low <= prediction.area <= high:
                entries.append((prediction.score, False))
    if num_truths == 0:
        return None
    entries.sort(key=lambda entry: -entry[0])
    curve = []  # (recall, precision)
    right = 0
    for count, (_, is_right) in enumerate(entries, start=1):
        right += is_right
        curve.append((right / num_truths, right / count))
    precisions = []
    for point in np.linspace(0, 1, 101):
        beyond = [precision for recall, precision in curve if recall >= point]
        precisions.append(max(beyond, default=0.0))
    return float(np.mean(precisions)), right / num_truths


def is_within(value: float | None, limits: tuple[float, float] | None) -> bool:
    if limits is None:
        return True
    return value is not None and limits[0] <= value <= limits[1]
