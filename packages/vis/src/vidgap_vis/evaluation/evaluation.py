"""Results against the truth: everything that can be said of them, from overlaps computed once."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from os import PathLike

from vidgap_vis.errors import InputError, check
from vidgap_vis.evaluation.average_precision import MatchTable
from vidgap_vis.evaluation.causes import BETA, TAU, Causes, causes
from vidgap_vis.evaluation.groups import OCCLUSION_SCORES, Grouping, group_tables
from vidgap_vis.evaluation.hota import TrackingMetrics, tracking_metrics
from vidgap_vis.evaluation.intervals import Difference, Interval, compare, intervals
from vidgap_vis.evaluation.oracles import ORACLES, Oracle, oracle_metrics
from vidgap_vis.evaluation.overlaps import MaskError, VideoOverlaps, overlaps
from vidgap_vis.evaluation.switches import identity_switches
from vidgap_vis.evaluation.youtube_vis import match_videos
from vidgap_vis.formats.records import collection_paused
from vidgap_vis.formats.results import ResultFile, Track
from vidgap_vis.formats.rle import as_rle
from vidgap_vis.formats.youtube_vis import VideoInfo, VideoInstance, VideoSet, read_youtube_vis

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
        gt: str | PathLike[str] | VideoSet,
        *,
        threads: int | None = None,
    ) -> Evaluation:
        """Compare a results file with a file of annotations, video by video.

        Args:
            results_path: YouTube-VIS results JSON, of any size.
            gt: YouTube-VIS JSON with annotations, or what was read from one.
            threads: videos that are compared at once; None: one for each core, at most four.

        Raises:
            InputError: a file or something in it is wrong, or `gt` has no annotations.
            ValueError: `threads` is below 1.
        """
        if threads is None:
            threads = min(MOST_THREADS, os.cpu_count() or 1)
        check("threads", threads >= 1, "1 or more", threads)
        truth = annotated(gt if isinstance(gt, VideoSet) else read_youtube_vis(gt))
        with ResultFile(results_path, truth) as results, ThreadPoolExecutor(threads) as pool:

            def compare(video: VideoInfo) -> VideoOverlaps:
                try:
                    return _overlaps(truth, video, results.tracks(video.id))
                except MaskError as error:
                    item = f"segmentations[{error.frame}]: {error.reason}"
                    raise InputError(results.path, error.track.source, item) from None

            videos = sorted(truth.videos, key=lambda video: video.id)
            return cls(truth, tuple(pool.map(compare, videos)))

    @classmethod
    def of_tracks(cls, truth: VideoSet, results: Iterable[Track]) -> Evaluation:
        """Compare tracks with the truth.

        Raises:
            InputError: the truth has no annotations, or a mask of it is malformed.
            ValueError: a track is in no video of the truth, of no class of it, or unlike the video
                in frames or size, or its mask is malformed.
        """
        videos = {video.id: video for video in annotated(truth).videos}
        found: dict[int, list[Track]] = {video_id: [] for video_id in videos}
        for track in results:
            if track.video_id not in videos:
                raise ValueError(f"there is no video {track.video_id} in {truth.path}")
            _check_fits(track, videos[track.video_id], len(truth.classes))
            found[track.video_id].append(track)
        return cls(truth, tuple(_overlaps(truth, videos[i], found[i]) for i in sorted(videos)))

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

    def causes(self, *, tau: float = TAU, beta: float = BETA) -> Causes:
        """Find one cause for every wrong prediction and every truth not found; see `causes`.

        `Fixes(evaluation.causes())` says what each cause costs: `.shapley` sums to 1 - AP50.
        """
        return causes(self.videos, tau, beta)

    def oracles(self) -> dict[Oracle, dict[str, float | None]]:
        """Return the metrics with classes, masks, association or all of them perfect.

        Metrics as `ap`; see `oracle_metrics` for what is replaced by the truth.
        """
        return {oracle: oracle_metrics(self.videos, oracle) for oracle in ORACLES}

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


def _overlaps(truth: VideoSet, video: VideoInfo, found: Sequence[Track]) -> VideoOverlaps:
    """Compare the tracks found in a video with the true ones; MaskError is about found ones."""
    true = true_tracks(truth, video)
    try:
        return overlaps(video.id, found, true, num_frames=len(video))
    except MaskError as error:
        if not any(error.track is one for one in true):
            raise
        item = f"segmentations[{error.frame}]: {error.reason}"
        raise InputError(truth.path, error.track.source, item) from None


def _check_fits(track: Track, video: VideoInfo, num_classes: int) -> None:
    """Refuse a track that cannot be of this video."""
    name, length = f"track of video {video.id}", len(track.masks)
    check(f"{name}: masks", length == len(video), f"{len(video)}, one or None a frame", length)
    for mask in track.masks:
        size = video.size if mask is None else mask.size
        check(f"{name}: the size of masks", size == video.size, f"{video.size}", size)
    check(f"{name}: label", 0 <= track.label < num_classes, f"in 0..{num_classes - 1}", track.label)


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
