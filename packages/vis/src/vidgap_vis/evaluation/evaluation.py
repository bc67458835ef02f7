"""Results against the truth: everything that can be said of them, from overlaps computed once."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from os import PathLike

from vidgap_vis.errors import InputError
from vidgap_vis.evaluation.average_precision import MatchTable
from vidgap_vis.evaluation.groups import Grouping, group_tables
from vidgap_vis.evaluation.hota import TrackingMetrics, tracking_metrics
from vidgap_vis.evaluation.intervals import Difference, Interval, compare, intervals
from vidgap_vis.evaluation.overlaps import MaskError, VideoOverlaps, overlaps
from vidgap_vis.evaluation.switches import identity_switches
from vidgap_vis.evaluation.youtube_vis import match_videos
from vidgap_vis.formats.records import collection_paused
from vidgap_vis.formats.results import ResultFile, Track
from vidgap_vis.formats.rle import as_rle
from vidgap_vis.formats.youtube_vis import VideoInfo, VideoInstance, VideoSet, read_youtube_vis

OCCLUSION_SCORES = {"no_occlusion": 0.0, "slight_occlusion": 0.25, "severe_occlusion": 0.75}
"""OVIS's words for how much of an object is hidden in a frame."""

MOST_THREADS = 4


@dataclass(frozen=True)
class Evaluation:
    """Results compared with the truth.

    Attributes:
        truth: the videos, with annotations.
        videos: what is shared in each of them, sorted by video id.
    """

    truth: VideoSet
    videos: tuple[VideoOverlaps, ...]

    @classmethod
    @collection_paused()
    def of_files(
        cls,
        results_path: str | PathLike[str],
        gt_path: str | PathLike[str],
        *,
        threads: int | None = None,
    ) -> Evaluation:
        """Compare a results file with a file of annotations, video by video.

        Args:
            results_path: YouTube-VIS results JSON, of any size.
            gt_path: YouTube-VIS JSON with annotations.
            threads: videos that are compared at once; None: one for each core, at most four.

        Raises:
            InputError: a file or something in it is wrong, or `gt_path` has no annotations.
        """
        truth = annotated(read_youtube_vis(gt_path))
        with ResultFile(results_path, truth) as results:

            def compare(video: VideoInfo) -> VideoOverlaps:
                try:
                    return overlaps(video.id, results.tracks(video.id), true_tracks(truth, video))
                except MaskError as error:
                    is_true = error.track.source.startswith("annotation")
                    file = truth.path if is_true else results.path
                    item = f"segmentations[{error.frame}]: {error.reason}"
                    raise InputError(file, error.track.source, item) from None

            videos = sorted(truth.videos, key=lambda video: video.id)
            workers = min(MOST_THREADS, os.cpu_count() or 1) if threads is None else threads
            with ThreadPoolExecutor(workers) as pool:
                return cls(truth, tuple(pool.map(compare, videos)))

    @classmethod
    def of_tracks(cls, truth: VideoSet, results: Iterable[Track]) -> Evaluation:
        """Compare tracks with the truth.

        Raises:
            InputError: the truth has no annotations.
            ValueError: a track is in no video of the truth or unlike it in frames or size, or a
                mask is malformed.
        """
        found: dict[int, list[Track]] = {video.id: [] for video in annotated(truth).videos}
        for track in results:
            if track.video_id not in found:
                raise ValueError(f"there is no video {track.video_id} in {truth.path}")
            found[track.video_id].append(track)
        videos = sorted(truth.videos, key=lambda video: video.id)
        return cls(
            truth,
            tuple(overlaps(one.id, found[one.id], true_tracks(truth, one)) for one in videos),
        )

    @cached_property
    def table(self) -> MatchTable:
        """Which predictions are right, at every threshold and in every stratum."""
        return match_videos(self.videos)

    def ap(self) -> dict[str, float | None]:
        """Return the metrics of YouTube-VIS.

        "AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10" and "AR100" in 0..1, None where
        there is no truth.
        """
        return self.table.summary()

    def intervals(self, *, confidence: float = 0.95) -> dict[str, Interval]:
        """Bracket each of these metrics: how far it would move with other videos."""
        return intervals(self.table, confidence=confidence)

    def by(
        self, grouping: Grouping, long_videos: Collection[int] | None = None
    ) -> dict[str, MatchTable]:
        """Return the table of each group, whose `summary()` are its metrics; see `group_tables`."""
        return group_tables(self.truth, self.table, grouping, long_videos)

    def compare(self, other: Evaluation, *, confidence: float = 0.95) -> dict[str, Difference]:
        """Bracket what `other` has more of each metric than this, the videos being the same.

        Raises:
            ValueError: the two have not the same truth.
        """
        return compare(self.table, other.table, confidence=confidence)

    def hota(self, *, min_score: float = 0.3) -> TrackingMetrics:
        """Return HOTA, DetA, AssA, IDF1, switches and fragments; see `tracking_metrics`."""
        return tracking_metrics(self.videos, min_score=min_score)

    def switches(self, *, min_score: float = 0.1) -> dict[int, int]:
        """Count identity switches whatever the class: video id -> number."""
        return identity_switches(self.videos, min_score)


def evaluate_files(
    results_path: str | PathLike[str], gt_path: str | PathLike[str]
) -> dict[str, float | None]:
    """Compute the YouTube-VIS metrics of a results file, as `Evaluation.of_files(...).ap()`."""
    return Evaluation.of_files(results_path, gt_path).ap()


def annotated(truth: VideoSet) -> VideoSet:
    """Return the truth; InputError where it has no annotations."""
    if not truth.annotated:
        raise InputError(
            truth.path, "annotations", "absent or null; the metrics need the truth of every video"
        )
    return truth


def true_tracks(truth: VideoSet, video: VideoInfo) -> list[Track]:
    """Return the annotated instances of a video, then its crowds."""
    return [
        _true_track(truth, video.id, instance, is_crowd)
        for instances, is_crowd in ((video.instances, False), (video.crowds, True))
        for instance in instances
    ]


def _true_track(truth: VideoSet, video_id: int, instance: VideoInstance, is_crowd: bool) -> Track:
    source = f"annotation {instance.id}"
    try:
        masks = tuple(as_rle(segmentation) for segmentation in instance.segmentations)
    except ValueError as error:
        raise InputError(truth.path, source, str(error)) from None
    occlusion = None if instance.occlusion is None else occlusion_score(instance.occlusion)
    return Track(
        video_id, instance.label, masks, is_crowd=is_crowd, occlusion=occlusion, source=source
    )


def occlusion_score(levels: Sequence[str | None]) -> float | None:
    """Score how much of an instance is hidden, as OVIS does (`oviseval.py`): 0..1.

    The mean over the worse half of the frames that have a level; None where none has, or where a
    word is not one of OVIS's.
    """
    scores = sorted(OCCLUSION_SCORES.get(level, -1.0) for level in levels if level is not None)
    if not scores or scores[0] < 0:
        return None
    worse = scores[-((len(scores) + 1) // 2) :]
    return sum(worse) / len(worse)
