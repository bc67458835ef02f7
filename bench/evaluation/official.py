"""The official algorithm, written down from its definition, in its way and at its pace.

Videos and categories apart, pair by pair and frame by frame, `merge` and `area` of pycocotools;
then matching and accumulation in loops, as COCO defines them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

Tracks = list[dict[str, Any]]
Doubles = NDArray[np.float64]

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
AREAS = ((0, 1e10), (0, 128**2), (128**2, 256**2), (256**2, 1e10))
MOST = (1, 10, 100)


class OneMatching:
    """The outcome of a video, category and area range: of each threshold and prediction."""

    def __init__(self, ious: Doubles, found: Tracks, true: Tracks, area: tuple[float, float]):
        ignored = [one["iscrowd"] or not area[0] <= one["area"] <= area[1] for one in true]
        order = sorted(range(len(true)), key=ignored.__getitem__)  # those that count come first
        self.scores = [one["score"] for one in found]
        self.num_truths = ignored.count(False)
        self.matched = np.zeros((len(THRESHOLDS), len(found)), bool)
        self.ignored = np.zeros((len(THRESHOLDS), len(found)), bool)
        for i, threshold in enumerate(THRESHOLDS):
            taken = set[int]()
            for d, one in enumerate(found):
                best, chosen = min(threshold, 1 - 1e-10), None
                for n in order:
                    if n in taken and not true[n]["iscrowd"]:
                        continue
                    if chosen is not None and not ignored[chosen] and ignored[n]:
                        break
                    if ious[d, n] >= best:
                        best, chosen = ious[d, n], n
                if chosen is not None:
                    taken.add(chosen)
                    self.matched[i, d], self.ignored[i, d] = True, ignored[chosen]
                else:
                    self.ignored[i, d] = not area[0] <= one["area"] <= area[1]


def evaluate(gt_path: Path, results_path: Path) -> dict[str, float | None]:
    """Return the nine metrics; None where there is no truth."""
    truth = json.loads(gt_path.read_text(encoding="utf-8"))
    true = tracks_of(truth["annotations"])
    found = tracks_of(json.loads(results_path.read_text(encoding="utf-8")))
    videos = [video["id"] for video in truth["videos"]]
    categories = [category["id"] for category in truth["categories"]]
    size = (len(THRESHOLDS), len(categories), len(AREAS), len(MOST))
    precisions, recalls = np.full((len(RECALLS), *size), -1.0), np.full(size, -1.0)
    for k, category in enumerate(categories):
        matchings: dict[int, list[OneMatching]] = {a: [] for a in range(len(AREAS))}
        for video in videos:
            ours = sorted(found[video, category], key=lambda one: -one["score"])[: MOST[-1]]
            theirs = true[video, category]
            if not ours and not theirs:
                continue
            ious = np.array([[iou(d, n) for n in theirs] for d in ours], ndmin=2)
            for a, area in enumerate(AREAS):
                matchings[a].append(OneMatching(ious, ours, theirs, area))
        for (a, of_area), (m, most) in product(matchings.items(), enumerate(MOST)):
            accumulated = accumulate(of_area, most)
            if accumulated is not None:
                precisions[:, :, k, a, m], recalls[:, k, a, m] = accumulated
    return summary(precisions, recalls)


def tracks_of(entries: Tracks) -> defaultdict[tuple[int, int], Tracks]:
    """Return tracks by video and category, with compressed masks and the mean of their areas."""
    tracks = defaultdict(list)
    for entry in entries:
        for mask in filter(None, entry["segmentations"]):
            if isinstance(mask["counts"], list):
                mask["counts"] = coco_mask.frPyObjects(mask, *mask["size"])["counts"]
        areas = [int(coco_mask.area(mask)) for mask in entry["segmentations"] if mask]
        entry["area"] = sum(areas) / max(np.count_nonzero(areas), 1)
        tracks[entry["video_id"], entry["category_id"]].append(entry)
    return tracks


def iou(found: dict[str, Any], true: dict[str, Any]) -> float:
    """Return the intersections of two tracks over their unions, each summed over the frames."""
    shared = union = 0
    for d, n in zip(found["segmentations"], true["segmentations"], strict=True):
        if d and n:
            shared += int(coco_mask.area(coco_mask.merge([d, n], intersect=True)))
            union += int(coco_mask.area(coco_mask.merge([d, n], intersect=False)))
        elif d or n:
            union += int(coco_mask.area(d or n))
    return shared / union if union else 0.0


def accumulate(matchings: Sequence[OneMatching], most: int) -> tuple[Doubles, Doubles] | None:
    """Return precision at each recall (R, I) and recall (I,) of a category; None without truth."""
    num_truths = sum(one.num_truths for one in matchings)
    if not num_truths:
        return None
    scores = np.concatenate([one.scores[:most] for one in matchings])
    order = np.argsort(-scores, kind="stable")
    matched = np.concatenate([one.matched[:, :most] for one in matchings], axis=1)[:, order]
    ignored = np.concatenate([one.ignored[:, :most] for one in matchings], axis=1)[:, order]
    right = np.cumsum(matched & ~ignored, axis=1)
    wrong = np.cumsum(~matched & ~ignored, axis=1)
    precisions, recalls = np.zeros((len(RECALLS), len(THRESHOLDS))), np.zeros(len(THRESHOLDS))
    for i in range(len(THRESHOLDS)):
        recall = right[i] / num_truths
        precision = (right[i] / (right[i] + wrong[i] + np.spacing(1))).tolist()
        recalls[i] = recall[-1] if len(recall) else 0
        for p in range(len(precision) - 1, 0, -1):
            precision[p - 1] = max(precision[p - 1], precision[p])
        for r, p in enumerate(np.searchsorted(recall, RECALLS, side="left")):
            precisions[r, i] = precision[p] if p < len(precision) else 0
    return precisions, recalls


def summary(precisions: Doubles, recalls: Doubles) -> dict[str, float | None]:
    """Average (R, I, K, A, M) precisions and (I, K, A, M) recalls where there is truth."""
    parts = {
        "AP": precisions[:, :, :, 0, 2],
        "AP50": precisions[:, 0, :, 0, 2],
        "AP75": precisions[:, 5, :, 0, 2],
        **{f"AP{name}": precisions[:, :, :, a, 2] for a, name in enumerate("sml", start=1)},
        **{f"AR{most}": recalls[:, :, 0, m] for m, most in enumerate(MOST)},
    }
    known = {name: part[part > -1] for name, part in parts.items()}
    return {name: float(part.mean()) if len(part) else None for name, part in known.items()}
