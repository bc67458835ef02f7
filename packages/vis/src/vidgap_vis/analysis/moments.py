"""Where a video went wrong: the frames to look at, and what is to be seen there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vidgap_vis.classes import ClassList
from vidgap_vis.evaluation import FoundCause, TrueCause, VideoOverlaps
from vidgap_vis.evaluation.arrays import Bools, Ints
from vidgap_vis.evaluation.reassignment import NONE
from vidgap_vis.formats.youtube_vis import VideoInfo

MOST_MOMENTS = 4
"""Of a video."""

MOST_OF_A_CAUSE = 2
"""Of a video's moments."""

NUM_FRAMES = 5
"""Of a moment."""

ORDER = ("association", "missed", "class", "mask", "class and location", "background", "duplicate")
"""Of the causes, those first that the field fails at."""


@dataclass(frozen=True)
class Moment:
    """A failure and the frames that show it.

    Attributes:
        cause: of the failure.
        text: what is to be seen.
        frames: their indices, in order.
        truth: index of the truth; None: there is none.
        tracks: the predictions that take part, by their index among the video's.
    """

    cause: str
    text: str
    frames: list[int]
    truth: int | None
    tracks: list[int]


def moments(
    info: VideoInfo,
    names: ClassList,
    video: VideoOverlaps,
    owners: Ints,
    switched: Bools,
    found: Sequence[FoundCause],
    true: Sequence[TrueCause],
) -> list[Moment]:
    """Return the worst moments of a video: identity switches first, of the truths that switch most.

    Then come the causes in `ORDER`. A truth has one moment.

    Args:
        info: the video.
        names: of the classes.
        video: its predictions and truths compared.
        owners: (T, N), the track that finds each truth in each frame; -1: none.
        switched: (T, N), where another track takes a truth over.
        found: what became of the predictions that are shown, the best score first.
        true: what became of the truths.
    """
    finder = _Finder(info, names, video, owners, switched)
    causes = {cause: [one for one in found if one.outcome == cause] for cause in ORDER}
    number = switched.sum(axis=0)
    unsteady = sorted((one for one in true if number[one.row]), key=lambda one: -number[one.row])
    candidates = [finder.switch(one) for one in unsteady]
    largest = video.true.areas.max(axis=1, initial=0)
    for cause in ORDER:
        if cause == "missed":
            lost = [one for one in true if one.outcome == "missed" and largest[one.row]]
            lost.sort(key=lambda one: -int(largest[one.row]))
            candidates += [finder.missed(one) for one in lost]
        candidates += [finder.failure(one) for one in causes[cause]]
    return list(_chosen(candidates))


def _chosen(candidates: Sequence[Moment]) -> Iterator[Moment]:
    """Take the first moments, few of a cause and one of a truth."""
    number: Counter[str] = Counter()
    told: set[int | None] = set()
    for moment in candidates:
        if number.total() == MOST_MOMENTS:
            return
        if number[moment.cause] < MOST_OF_A_CAUSE and moment.truth not in told:
            number[moment.cause] += 1
            told |= {moment.truth} - {None}
            yield moment


@dataclass(frozen=True)
class _Finder:
    """Finds the frames that show a failure; attributes as the arguments of `moments`."""

    info: VideoInfo
    names: ClassList
    video: VideoOverlaps
    owners: Ints
    switched: Bools

    def switch(self, truth: TrueCause) -> Moment:
        """Show the first identity switch of a truth."""
        owners = self.owners[:, truth.row]
        time = int(np.flatnonzero(self.switched[:, truth.row])[0])
        before = int(np.flatnonzero(owners[:time] != NONE)[-1])
        old, new = int(owners[before]), int(owners[time])
        others = int(self.switched[:, truth.row].sum()) - 1
        more = f", the first of {others + 1}" if others else ""
        name = self._truth(truth.row)
        text = f"identity switch in frame {time}{more}: {name}, track {old} to {new}"
        wanted = {before - 1, before, time, time + 1, time + 2}
        frames = sorted(wanted & set(range(len(owners))))
        return Moment("association", text, frames, truth.row, [old, new])

    def missed(self, truth: TrueCause) -> Moment:
        """Show a truth that nobody has."""
        areas = self.video.true.areas[truth.row]
        frames = self._around(areas > 0, int(areas.argmax()))
        return Moment("missed", f"missed: {self._truth(truth.row)}", frames, truth.row, [])

    def failure(self, one: FoundCause) -> Moment:
        """Show a wrong prediction."""
        drawn_as = int(self.video.found.first_alike[one.row])
        alike = "" if drawn_as == one.row else f" (masks of {drawn_as})"
        track = f"{self.names[one.label].name}, track {one.row}{alike}, score {one.score:.2f}"
        areas = self.video.found.areas[one.row]
        if one.truth == NONE:
            frames = self._around(areas > 0, int(areas.argmax()))
            return Moment(one.outcome, f"{one.outcome}: {track}", frames, None, [one.row])
        shared = self.video.shared[:, one.row, one.truth].astype(np.int64)
        there = self.video.true.areas[one.truth]
        ious = shared / np.maximum(areas + there - shared, 1)
        present = (areas > 0) | (there > 0)
        # Poor masks are seen where they are poorest, anything else where the two are one.
        poor = one.outcome in ("mask", "association")
        time = int(np.where(present, ious, 2).argmin() if poor else ious.argmax())
        iou = shared.sum() / max(int(areas.sum() + there.sum() - shared.sum()), 1)
        name = one.outcome if one.kind is None else f"{one.outcome} ({one.kind})"
        text = f"{name}: {self._truth(one.truth)} by {track}, IoU {iou:.2f}"
        return Moment(one.outcome, text, self._around(present, time), one.truth, [one.row])

    def _truth(self, row: int) -> str:
        instance = self.info.instances[row]
        return f"{self.names[instance.label].name} {instance.id}"

    def _around(self, present: Bools, time: int) -> list[int]:
        """Return a frame and others, spread over those where something is, in order."""
        there = np.flatnonzero(present)
        spread = there[np.linspace(0, len(there) - 1, min(NUM_FRAMES, len(there))).astype(int)]
        frames = spread.tolist()
        if time not in frames:
            frames[int(np.abs(spread - time).argmin())] = time
        return sorted(frames)
