"""A video as its truths and tracks over time: who was found by whom, from which frame to which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from vidgap_vis.analysis.colours import track_colours
from vidgap_vis.analysis.moments import Moment, moments
from vidgap_vis.classes import ClassList
from vidgap_vis.evaluation import CAUSES, Causes, Evaluation, FoundCause, TrueCause, VideoOverlaps
from vidgap_vis.evaluation.arrays import Bools, Ints
from vidgap_vis.evaluation.average_precision import metric_named
from vidgap_vis.evaluation.reassignment import NONE
from vidgap_vis.evaluation.switches import frame_owners, switch_frames
from vidgap_vis.formats.youtube_vis import VideoInfo

MIN_SCORE = 0.1
"""Of the tracks that are shown, and whose identity switches count."""

MOST_TRACKS = 30
"""Of a video that are listed: those of its moments, those that find a truth, then the best."""

Spans = list[list[int]]
"""First and last frame, the last one included."""


@dataclass(frozen=True)
class TruthLane:
    """A truth over time.

    Attributes:
        annotation: its id.
        name: of its class.
        outcome: what became of it.
        present: where it is.
        found: first and last frame and the track whose mask finds it there.
        switches: frames in which another track takes it over.
    """

    annotation: int
    name: str
    outcome: str
    present: Spans
    found: list[list[int]]
    switches: list[int]


@dataclass(frozen=True)
class TrackLane:
    """A prediction over time.

    Attributes:
        track: its index among the video's predictions, in the file's order.
        drawn_as: the first track with the same masks: one may be listed under several classes.
        colour: number of the colour of that one; see `track_colours`.
        name: of its class.
        score: its score.
        outcome: what became of it.
        kind: how association failed; None: it is not at fault.
        truth: index of the truth that it has or that it failed at; None: there is none.
        shown: where it is.
    """

    track: int
    drawn_as: int
    colour: int
    name: str
    score: float
    outcome: str
    kind: str | None
    truth: int | None
    shown: Spans


@dataclass(frozen=True)
class VideoTimeline:
    """A video.

    Attributes:
        id: the video's.
        name: its folder, if it has one.
        frames: how many.
        crowds: how many.
        lost: truths that are not found, or not well enough.
        switches: identity switches.
        causes: how many errors have each cause.
        truths, tracks: over time.
        hidden: tracks that are not listed.
        moments: where it went wrong, the worst first.
    """

    id: int
    name: str
    frames: int
    crowds: int
    lost: int
    switches: int
    causes: dict[str, int]
    truths: list[TruthLane]
    tracks: list[TrackLane]
    hidden: int
    moments: list[Moment]


def videos(evaluation: Evaluation, found: Causes, min_score: float) -> list[dict[str, Any]]:
    """Return each video as `VideoTimeline` has it, and "AP50" of it alone.

    Those come first that lose most truths, then those that switch most identities.
    """
    infos = {video.id: video for video in evaluation.truth.videos}
    predictions: list[list[FoundCause]] = [[] for _ in evaluation.videos]
    truths: list[list[TrueCause]] = [[] for _ in evaluation.videos]
    for one in found.found:
        predictions[one.video].append(one)
    for truth in found.true:
        truths[truth.video].append(truth)
    made = []
    for index, video in enumerate(evaluation.videos):
        info, names = infos[video.video_id], evaluation.truth.classes
        line = timeline(info, names, video, predictions[index], truths[index], min_score)
        alone = evaluation.table.only_groups([index]).summary([metric_named("AP50")])
        made.append(asdict(line) | alone)
    return sorted(made, key=lambda one: (-one["lost"], -one["switches"], one["id"]))


def timeline(
    info: VideoInfo,
    names: ClassList,
    video: VideoOverlaps,
    found: Sequence[FoundCause],
    true: Sequence[TrueCause],
    min_score: float = MIN_SCORE,
) -> VideoTimeline:
    """Return a video over time.

    Args:
        info: the video.
        names: of the classes.
        video: its predictions and truths compared.
        found: what became of the predictions.
        true: what became of the truths.
        min_score: of the tracks that are shown.
    """
    owners = frame_owners(video, min_score)
    switched = switch_frames(owners)
    truths = [
        TruthLane(
            annotation=info.instances[one.row].id,
            name=names[one.label].name,
            outcome=one.outcome,
            present=spans(video.true.areas[one.row] > 0),
            found=_runs(owners[:, one.row]),
            switches=np.flatnonzero(switched[:, one.row]).tolist(),
        )
        for one in true
    ]
    shown = [one for one in found if one.score >= min_score and video.found.areas[one.row].any()]
    told = moments(info, names, video, owners, switched, shown, true)
    listed = _listed(shown, video, owners, told)
    colours = track_colours(owners, (int(video.found.first_alike[one.row]) for one in listed))
    counts = Counter(one.outcome for one in found)
    counts["missed"] = sum(one.outcome == "missed" for one in true)
    return VideoTimeline(
        id=info.id,
        name=video_name(info),
        frames=len(info),
        crowds=len(info.crowds),
        lost=sum(one.outcome != "right" for one in true),
        switches=int(switched.sum()),
        causes={cause: counts[cause] for cause in CAUSES if counts[cause]},
        truths=truths,
        tracks=[_track(one, names, video, colours) for one in listed],
        hidden=len(found) - len(listed),
        moments=told,
    )


def video_name(info: VideoInfo) -> str:
    """Return the folder of a video's frames, or its number where they have none."""
    parent = str(PurePosixPath(info.file_names[0]).parent) if info.file_names else "."
    return f"video {info.id}" if parent == "." else parent


def spans(where: Bools) -> Spans:
    """Return the runs of (T,) that are true."""
    edges = np.flatnonzero(np.diff(where.astype(np.int8), prepend=0, append=0))
    return [[first, end - 1] for first, end in edges.reshape(-1, 2).tolist()]


def _runs(owners: Ints) -> list[list[int]]:
    """Return the runs of equal owners of (T,): first and last frame, and the owner."""
    cuts = [0, *(np.flatnonzero(np.diff(owners)) + 1).tolist(), len(owners)]
    runs = [[first, end - 1, int(owners[first])] for first, end in pairwise(cuts) if first < end]
    return [run for run in runs if run[2] != NONE]


def _listed(
    found: Sequence[FoundCause], video: VideoOverlaps, owners: Ints, told: Sequence[Moment]
) -> list[FoundCause]:
    """Return the predictions that are worth a lane, the best score first."""
    finders = set(np.unique(owners).tolist())
    shown = {track for moment in told for track in moment.tracks}

    def worth(one: FoundCause) -> tuple[bool, bool, float]:
        alike = int(video.found.first_alike[one.row])
        return one.row in shown or alike in shown, alike in finders, one.score

    chosen = sorted(found, key=worth, reverse=True)[:MOST_TRACKS]
    return sorted(chosen, key=lambda one: -one.score)


def _track(
    one: FoundCause, names: ClassList, video: VideoOverlaps, colours: Mapping[int, int]
) -> TrackLane:
    drawn_as = int(video.found.first_alike[one.row])
    return TrackLane(
        track=one.row,
        drawn_as=drawn_as,
        colour=colours[drawn_as],
        name=names[one.label].name,
        score=one.score,
        outcome=one.outcome,
        kind=one.kind,
        truth=None if one.truth == NONE or video.true.is_crowd[one.truth] else one.truth,
        shown=spans(video.found.areas[one.row] > 0),
    )
