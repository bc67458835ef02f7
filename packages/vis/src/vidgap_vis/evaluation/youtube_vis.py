"""YouTube-VIS track AP on run-length encoded masks (also OVIS; Yang et al. 2019, section 3.2).

Numbers are those of `ytvoseval.py` (youtubevos/cocoapi) and, by occlusion, of `oviseval.py`. Like
it, and unlike COCO for images, the IoU with a crowd track is the ordinary one; a crowd is ignored
and may take any number of tracks. The area of a track is counted in its masks, where the original
trusts the file's `areas`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass

import numpy as np

from vidgap_vis.evaluation.average_precision import (
    MAX_PREDICTIONS,
    LabelTable,
    MatchTable,
    Outcome,
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
    labels = sorted({label for video in videos for label in video.true.labels.tolist()})
    outcomes: dict[int, dict[int, Outcome]] = {label: {} for label in labels}
    for index, video in enumerate(videos):
        for label, outcome in _match_video(video, outcomes.keys()):
            outcomes[label][index] = outcome
    tables = {label: LabelTable.pooled(outcomes[label], len(videos)) for label in labels}
    return MatchTable(tuple(video.video_id for video in videos), tables)


def _match_video(video: VideoOverlaps, labels: Set[int]) -> Iterator[tuple[int, Outcome]]:
    """Match the tracks of each of the `labels` that the video has a track of."""
    found, true = video.found, video.true
    best_first = np.argsort(-found.scores, kind="stable")
    rows = best_first[np.argsort(found.labels[best_first], kind="stable")]  # label after label
    columns = np.argsort(true.labels, kind="stable")
    found_labels, true_labels = found.labels[rows], true.labels[columns]
    found_areas, true_areas = found.mean_areas[rows], true.mean_areas[columns]
    occlusion, is_crowd = true.occlusion[columns], true.is_crowd[columns]
    true_outside = np.stack([stratum.outside(true_areas, occlusion) for stratum in STRATA])
    # Tracks of different labels share nothing, so that all labels are matched at once.
    all_labels = match(
        ious=np.where(
            found_labels[:, None] == true_labels, video.track_ious()[np.ix_(rows, columns)], 0.0
        ),
        scores=found.scores[rows],
        found_outside=np.stack([stratum.outside(found_areas) for stratum in STRATA]),
        true_outside=true_outside,
        is_crowd=is_crowd,
    )
    counted = ~(true_outside | is_crowd)  # (A, N)
    for label in sorted({*found_labels.tolist(), *true_labels.tolist()} & labels):
        begin, end = np.searchsorted(found_labels, [label, label + 1]).tolist()
        best = slice(begin, min(end, begin + MAX_PREDICTIONS))
        truths = slice(*np.searchsorted(true_labels, [label, label + 1]).tolist())
        yield (
            label,
            Outcome(
                scores=all_labels.scores[best],
                matched=all_labels.matched[..., best],
                ignored=all_labels.ignored[..., best],
                num_truths=np.count_nonzero(counted[:, truths], axis=1),
            ),
        )


def _by_video(tracks: Iterable[Track], video_ids: Sequence[int]) -> defaultdict[int, list[Track]]:
    known = set(video_ids)
    grouped: defaultdict[int, list[Track]] = defaultdict(list)
    for track in tracks:
        if track.video_id not in known:
            raise ValueError(f"track of label {track.label}: there is no video {track.video_id}")
        grouped[track.video_id].append(track)
    return grouped
