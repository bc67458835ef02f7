"""YouTube-VIS track AP on run-length encoded masks (also OVIS; Yang et al. 2019, section 3.2).

Numbers are those of `ytvoseval.py` (youtubevos/cocoapi). Like it, and unlike COCO for images, the
IoU with a crowd track is the ordinary one; a crowd is ignored and may take any number of tracks.
The area of a track is counted in its masks, where the original trusts the file's `areas`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from os import PathLike

import numpy as np
from pycocotools import mask as coco_mask

from vidgap_vis.errors import InputError
from vidgap_vis.evaluation.average_precision import (
    MAX_PREDICTIONS,
    Doubles,
    LabelTable,
    MatchTable,
    Outcome,
    match,
)
from vidgap_vis.formats.results import Track, read_results
from vidgap_vis.formats.rle import Rle, RleDict, as_rle
from vidgap_vis.formats.youtube_vis import VideoInstance, VideoSet, read_youtube_vis


@dataclass(frozen=True)
class MetricBreakdown:
    """Metrics by name ("AP", "AP50", ... "AR100"), 0..1, None where there is no truth.

    Attributes:
        overall: mean over the classes that have truths.
        per_class: label -> metrics, for labels with a truth.
        per_video: video id -> metrics of that video alone, in its own ranking.
    """

    overall: dict[str, float | None]
    per_class: dict[int, dict[str, float | None]]
    per_video: dict[int, dict[str, float | None]]


def track_metrics(table: MatchTable) -> MetricBreakdown:
    """Compute the metrics of a table of matches: overall, by class and by video."""
    return MetricBreakdown(
        overall=table.summary(),
        per_class={label: table.only_label(label).summary() for label in sorted(table.labels)},
        per_video={
            video_id: table.only_group(index).summary()
            for index, video_id in enumerate(table.group_ids)
        },
    )


def evaluate_files(
    results_path: str | PathLike[str], gt_path: str | PathLike[str]
) -> dict[str, float | None]:
    """Compute the YouTube-VIS metrics of a results file.

    Args:
        results_path: YouTube-VIS results JSON.
        gt_path: YouTube-VIS JSON with annotations.

    Returns:
        "AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10" and "AR100" in 0..1, None where
        there is no truth.

    Raises:
        InputError: a file or something in it is wrong, or `gt_path` has no annotations.
    """
    truth = read_youtube_vis(gt_path)
    return match_results(truth, read_results(results_path, truth)).summary()


def match_results(truth: VideoSet, results: Iterable[Track]) -> MatchTable:
    """Match what `read_results` returned to the truth; ties are ordered by video id.

    Raises:
        InputError: the truth has no annotations, or a mask of it is malformed.
    """
    if not truth.annotated:
        raise InputError(
            truth.path, "annotations", "absent or null; the metrics need the truth of every video"
        )
    truths = [
        _true_track(truth, video.id, instance, is_crowd)
        for video in truth.videos
        for instances, is_crowd in ((video.instances, False), (video.crowds, True))
        for instance in instances
    ]
    return match_tracks(truths, results, sorted(video.id for video in truth.videos))


def match_tracks(
    truths: Iterable[Track], predictions: Iterable[Track], video_ids: Sequence[int]
) -> MatchTable:
    """Match predicted to true tracks in every video.

    Args:
        truths: true tracks; `score` is not read.
        predictions: predicted tracks; those of a label without any truth are not counted.
        video_ids: all videos, with and without tracks. Equal scores keep this order.

    Raises:
        ValueError: a track is in no video of `video_ids`, or the tracks of a video differ in
            their number of frames or the size of their masks.
    """
    known = set(video_ids)
    true_tracks = _by_video_and_label(truths, known)
    found_tracks = _by_video_and_label(predictions, known)
    labels = sorted({label for _, label in true_tracks})
    outcomes: dict[int, dict[int, Outcome]] = {label: {} for label in labels}
    for index, video_id in enumerate(video_ids):
        for label in labels:
            key = (video_id, label)
            if key in true_tracks or key in found_tracks:
                outcomes[label][index] = _match_one(
                    found_tracks.get(key, []), true_tracks.get(key, [])
                )
    tables = {label: LabelTable.pooled(outcomes[label], len(video_ids)) for label in labels}
    return MatchTable(tuple(video_ids), tables)


def track_ious(predictions: Sequence[Track], truths: Sequence[Track]) -> Doubles:
    """Compute the IoU of each prediction with each truth of the same video.

    The intersections summed over the frames, over the unions summed likewise; 0 where both tracks
    are empty.

    Returns:
        (D, N) float64 in 0..1.

    Raises:
        ValueError: the tracks differ in their number of frames or the size of their masks.
    """
    _check_same_size([*predictions, *truths])
    shared = np.zeros((len(predictions), len(truths)))
    if shared.size == 0:
        return shared
    found_areas = np.stack([track.areas for track in predictions])  # (D, T)
    true_areas = np.stack([track.areas for track in truths])  # (N, T)
    for frame in range(found_areas.shape[1]):
        found = np.flatnonzero(found_areas[:, frame]).tolist()
        true = np.flatnonzero(true_areas[:, frame]).tolist()
        if found and true:
            # With every truth called a crowd, pycocotools divides by the area of the prediction;
            # times that area is the intersection, an integer that rounding gives back exactly.
            shares = coco_mask.iou(
                [_as_coco(predictions[d].masks[frame]) for d in found],
                [_as_coco(truths[n].masks[frame]) for n in true],
                [1] * len(true),
            )
            shared[np.ix_(found, true)] += np.rint(shares * found_areas[found, frame, None])
    union = found_areas.sum(axis=1)[:, None] + true_areas.sum(axis=1) - shared
    return shared / np.maximum(union, 1)


def _true_track(truth: VideoSet, video_id: int, instance: VideoInstance, is_crowd: bool) -> Track:
    try:
        masks = tuple(as_rle(segmentation) for segmentation in instance.segmentations)
        track = Track(video_id, instance.label, masks, is_crowd=is_crowd)
        _ = track.areas  # checks the run lengths while the annotation is at hand
    except ValueError as error:
        raise InputError(truth.path, f"annotation {instance.id}", str(error)) from None
    return track


def _by_video_and_label(
    tracks: Iterable[Track], video_ids: set[int]
) -> dict[tuple[int, int], list[Track]]:
    grouped: defaultdict[tuple[int, int], list[Track]] = defaultdict(list)
    for track in tracks:
        if track.video_id not in video_ids:
            raise ValueError(f"track of label {track.label}: there is no video {track.video_id}")
        grouped[track.video_id, track.label].append(track)
    return dict(grouped)


def _match_one(predictions: list[Track], truths: list[Track]) -> Outcome:
    """Match the tracks of one label in one video."""
    best_first = sorted(predictions, key=lambda track: -track.score)[:MAX_PREDICTIONS]
    return match(
        ious=track_ious(best_first, truths),
        scores=np.array([track.score for track in best_first], dtype=np.float64),
        prediction_areas=np.array([track.area for track in best_first], dtype=np.float64),
        truth_areas=np.array([track.area for track in truths], dtype=np.float64),
        is_crowd=np.array([track.is_crowd for track in truths], dtype=bool),
    )


def _check_same_size(tracks: Sequence[Track]) -> None:
    """Refuse tracks of one video that differ in frames or mask size."""
    lengths = sorted({len(track.masks) for track in tracks})
    if len(lengths) > 1:
        raise ValueError(
            f"video {tracks[0].video_id}: tracks must have a mask or None for every frame, "
            f"got tracks of {lengths[0]} and of {lengths[-1]} frames"
        )
    sizes = sorted({mask.size for track in tracks for mask in track.masks if mask is not None})
    if len(sizes) > 1:
        raise ValueError(
            f"video {tracks[0].video_id}: masks must have one size, got {sizes[0]} and {sizes[-1]}"
        )


def _as_coco(mask: Rle | None) -> RleDict:
    """Return a present mask, whose counts `Track.areas` has checked, as pycocotools takes it."""
    assert mask is not None
    return {"size": list(mask.size), "counts": mask.counts}
