"""HOTA, IDF1 and CLEAR MOT's counts, by TrackEval's metrics from our own overlaps.

TrackEval (extra `eval`) knows the formulas: HOTA (Luiten et al. 2021), IDF1 (Ristani et al. 2016),
identity switches and fragmentations (Bernardin and Stiefelhagen 2008). What it makes of files is
not used: its reader of YouTube-VIS takes track 0 for no track and wants uncompressed masks.
docs/evaluation.md says what of its habits remains in the numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from vidgap_vis.evaluation.arrays import Bools, Doubles, Ints
from vidgap_vis.evaluation.overlaps import VideoOverlaps

SHARES = ("HOTA", "DetA", "AssA", "IDF1")
"""In 0..1; means over the classes with truths."""

COUNTS = ("switches", "fragments")
"""Sums over the classes."""

MIN_IOU = 0.5
"""Of a match for IDF1, switches and fragments, and for what a crowd excuses."""


@dataclass(frozen=True)
class TrackingMetrics:
    """How well tracks follow instances, scores apart.

    Attributes:
        overall: each of `SHARES`, None where there is no truth, and of `COUNTS`.
        per_class: the same for each label with a truth.
        min_score: the score of the weakest track that counted.
    """

    overall: dict[str, float | None]
    per_class: dict[int, dict[str, float | None]]
    min_score: float


def tracking_metrics(videos: Sequence[VideoOverlaps], *, min_score: float = 0.3) -> TrackingMetrics:
    """Compute them class by class; tracks of a class without truths are not counted.

    Args:
        videos: what `Evaluation.videos` holds.
        min_score: weaker tracks are left out. These metrics know no scores: every track counts the
            same, so the threshold must be chosen, and said.

    Raises:
        ImportError: TrackEval is not installed.
        ValueError: `min_score` is not between 0 and 1.
    """
    if not 0 <= min_score <= 1:
        raise ValueError(f"min_score must lie between 0 and 1, got {min_score}")
    trackeval = _trackeval()
    counted = (video.true.labels[~video.true.is_crowd].tolist() for video in videos)
    labels = sorted({label for found in counted for label in found})
    sequences: dict[int, dict[str, Any]] = {label: {} for label in labels}
    for video in videos:
        ious = video.frame_ious()
        present = {*video.true.labels.tolist(), *video.found.labels.tolist()}
        for label in present & sequences.keys():
            sequences[label][str(video.video_id)] = _sequence(video, ious, label, min_score)
    per_class = {label: _metrics_of(trackeval, sequences[label]) for label in labels}
    overall: dict[str, float | None] = {}
    for name in SHARES:
        values = [metrics[name] for metrics in per_class.values()]
        overall[name] = float(np.mean(values)) if values else None
    for name in COUNTS:
        overall[name] = sum(metrics[name] for metrics in per_class.values())
    return TrackingMetrics(overall, {**per_class}, min_score)


def _metrics_of(trackeval: ModuleType, sequences: Mapping[str, Any]) -> dict[str, Any]:
    quiet = {"PRINT_CONFIG": False, "THRESHOLD": MIN_IOU}
    hota, identity = trackeval.HOTA(), trackeval.Identity(quiet)
    clear = trackeval.CLEAR(quiet)
    results = [
        metric.combine_sequences(
            {name: metric.eval_sequence(data) for name, data in sequences.items()}
        )
        for metric in (hota, identity, clear)
    ]
    return {
        **{name: float(np.mean(results[0][name])) for name in ("HOTA", "DetA", "AssA")},
        "IDF1": float(results[1]["IDF1"]),
        "switches": int(results[2]["IDSW"]),
        "fragments": int(results[2]["Frag"]),
    }


def _sequence(video: VideoOverlaps, ious: Doubles, label: int, min_score: float) -> dict[str, Any]:
    """Return the tracks of one class in one video as TrackEval's metrics take them."""
    rows = np.flatnonzero((video.found.labels == label) & (video.found.scores >= min_score))
    of_label = video.true.labels == label
    columns = np.flatnonzero(of_label & ~video.true.is_crowd)
    crowds = np.flatnonzero(of_label & video.true.is_crowd)
    shown = video.found.areas[rows] > 0  # (D, T)
    if len(crowds):
        shown &= ~_excused(video, ious, rows, columns, crowds)
    present = video.true.areas[columns] > 0  # (N, T)
    # TrackEval divides by the frames of a track.
    rows, shown = rows[shown.any(axis=1)], shown[shown.any(axis=1)]
    columns, present = columns[present.any(axis=1)], present[present.any(axis=1)]
    true_ids = [np.flatnonzero(in_frame) for in_frame in present.T]
    found_ids = [np.flatnonzero(in_frame) for in_frame in shown.T]
    return {
        "num_timesteps": len(true_ids),
        "num_gt_ids": len(columns),
        "num_tracker_ids": len(rows),
        "num_gt_dets": int(present.sum()),
        "num_tracker_dets": int(shown.sum()),
        "gt_ids": true_ids,
        "tracker_ids": found_ids,
        "similarity_scores": [
            frame[np.ix_(rows[found], columns[true])].T
            for frame, found, true in zip(ious, found_ids, true_ids, strict=True)
        ],
    }


def _excused(video: VideoOverlaps, ious: Doubles, rows: Ints, columns: Ints, crowds: Ints) -> Bools:
    """Say which masks, (D, T), lie in a crowd by half and find no instance: they do not count."""
    areas = np.maximum(video.found.areas[rows].T, 1)  # (T, D)
    in_crowd = video.shared[:, rows][:, :, crowds].max(axis=2) >= MIN_IOU * areas
    found = ious[:, rows][:, :, columns].max(axis=2, initial=0) >= MIN_IOU
    return (in_crowd & ~found).T


def _trackeval() -> ModuleType:
    try:
        return import_module("trackeval.metrics")
    except ImportError as error:
        raise ImportError(
            "HOTA and its kin need the package trackeval: pip install 'vidgap-vis[eval]'"
        ) from error
