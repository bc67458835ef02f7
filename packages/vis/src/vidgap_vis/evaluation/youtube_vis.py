"""YouTube-VIS track AP on run-length encoded masks (also OVIS; Yang et al. 2019, section 3.2).

Numbers are those of `ytvoseval.py` (youtubevos/cocoapi) and, by occlusion, of `oviseval.py`. Like
it, and unlike COCO for images, the IoU with a crowd track is the ordinary one; a crowd is ignored
and may take any number of tracks. The area of a track is counted in its masks, where the original
trusts the file's `areas`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np

from vidgap_vis.evaluation.arrays import Bools, Doubles, Ints
from vidgap_vis.evaluation.average_precision import (
    MAX_PREDICTIONS,
    LabelTable,
    MatchTable,
    match,
)
from vidgap_vis.evaluation.overlaps import VideoOverlaps, overlaps
from vidgap_vis.evaluation.strata import STRATA
from vidgap_vis.formats.results import Track


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
            video_id: table.only_groups([index]).summary()
            for index, video_id in enumerate(table.group_ids)
        },
    )


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
    true_tracks = _by_video(truths, video_ids)
    found_tracks = _by_video(predictions, video_ids)
    return match_videos([overlaps(i, found_tracks[i], true_tracks[i]) for i in video_ids])


def match_videos(videos: Sequence[VideoOverlaps]) -> MatchTable:
    """Match predicted to true tracks in every video; equal scores keep the order of the videos."""
    group_ids = tuple(video.video_id for video in videos)
    if not videos:
        return MatchTable(group_ids, {})
    pool = _Matching.pooled([_match_video(group, video) for group, video in enumerate(videos)])
    tables = {}
    for label in np.unique(pool.true_labels).tolist():
        ours = np.flatnonzero((pool.labels == label) & (pool.ranks < MAX_PREDICTIONS))
        ours = ours[np.argsort(-pool.scores[ours], kind="stable")]
        true = np.flatnonzero(pool.true_labels == label)
        num_truths = np.zeros((len(STRATA), len(videos)), np.int64)
        np.add.at(num_truths.T, pool.true_groups[true], pool.counted[:, true].T)
        tables[label] = LabelTable(
            pool.groups[ours],
            pool.ranks[ours],
            pool.matched[..., ours],
            pool.ignored[..., ours],
            num_truths,
        )
    return MatchTable(group_ids, tables)


@dataclass(frozen=True)
class _Matching:
    """What became of D predictions, and the N truths; of a video, or of all.

    Attributes:
        groups, labels, scores: (D,) each.
        ranks: (D,), their index among the predictions of their label in their video, best first.
        matched, ignored: (A, I, D), as `match` gives them.
        true_groups, true_labels: (N,) each.
        counted: (A, N), whether a truth counts.
    """

    groups: Ints
    labels: Ints
    scores: Doubles
    ranks: Ints
    matched: Bools
    ignored: Bools
    true_groups: Ints
    true_labels: Ints
    counted: Bools

    @classmethod
    def pooled(cls, parts: Sequence[_Matching]) -> _Matching:
        """Put the videos' together."""
        names = [field.name for field in fields(cls)]
        columns = ([getattr(part, name) for part in parts] for name in names)
        return cls(*(np.concatenate(column, axis=-1) for column in columns))


def _match_video(group: int, video: VideoOverlaps) -> _Matching:
    """Match the tracks of a video, all labels at once: of different ones they share nothing."""
    found, true = video.found, video.true
    best_first = np.argsort(-found.scores, kind="stable")
    rows = best_first[np.argsort(found.labels[best_first], kind="stable")]  # label after label
    labels = found.labels[rows]
    areas = found.mean_areas[rows]
    true_areas = true.mean_areas
    true_outside = np.stack([stratum.outside(true_areas, true.occlusion) for stratum in STRATA])
    matched, ignored = match(
        ious=np.where(labels[:, None] == true.labels, video.track_ious()[rows], 0.0),
        found_outside=np.stack([stratum.outside(areas) for stratum in STRATA]),
        true_outside=true_outside,
        is_crowd=true.is_crowd,
    )
    return _Matching(
        groups=np.full(len(rows), group),
        labels=labels,
        scores=found.scores[rows],
        ranks=np.arange(len(rows)) - np.searchsorted(labels, labels),
        matched=matched,
        ignored=ignored,
        true_groups=np.full(len(true), group),
        true_labels=true.labels,
        counted=~(true_outside | true.is_crowd),
    )


def _by_video(tracks: Iterable[Track], video_ids: Sequence[int]) -> defaultdict[int, list[Track]]:
    known = set(video_ids)
    grouped: defaultdict[int, list[Track]] = defaultdict(list)
    for track in tracks:
        if track.video_id not in known:
            raise ValueError(f"track of label {track.label}: there is no video {track.video_id}")
        grouped[track.video_id].append(track)
    return grouped
