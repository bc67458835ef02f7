"""A tracker from any `Associator`: classes and mask scores averaged over a track, then ranked."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vidgap_segmenter import ClipOutput
from vidgap_vis.trackers.base import (
    ABSENT,
    NO_TRACK,
    Assignment,
    Associator,
    ClipTracks,
    Need,
    Span,
    StateDict,
    VideoTracks,
    size_of,
)
from vidgap_vis.trackers.detections import Detections, Floats, Ints, detections_of

MAX_ENDED = 1000
"""How many ended tracks, the best ones, are kept for the ranking: results list a few dozen."""


@dataclass
class ScoreSums:
    """What a track's score is made of.

    Attributes:
        classes: sum of its class probabilities over the frames that show it, (K,) float64.
        num_visible: how many those are.
        masks: sum of its mask scores.
    """

    classes: npt.NDArray[np.float64]
    num_visible: int = 1
    masks: float = 0.0

    @property
    def class_scores(self) -> Floats:
        """The mean class probabilities, (K,) float32."""
        return (self.classes / self.num_visible).astype(np.float32)

    def best_score(self) -> float:
        """Return its best score before the division by the length of the video."""
        weight = self.masks or self.num_visible
        return float(self.class_scores.max()) * weight


class OnlineTracker:
    """Follow instances frame by frame, holding a bounded state.

    A track's class scores are the class probabilities averaged over the frames that show it. Its
    score in the ranking is that times its mask score over all frames of the video (0 where it is
    absent), so that fragments rank below lasting tracks, as in MinVIS; where no mask scores are
    given, times the share of frames that show it.

    Args:
        associator: gives identities.
    """

    offline = False

    def __init__(self, associator: Associator) -> None:
        self.associator = associator
        self._shape: tuple[int, int, int] | None = None
        self._num_frames = 0
        self._has_mask_scores = False
        self._living: dict[int, ScoreSums] = {}
        self._ended: dict[int, ScoreSums] = {}

    @property
    def needs(self) -> frozenset[Need]:
        return self.associator.needs

    def step(self, clip: ClipOutput | Sequence[Detections], repeated: int = 0) -> ClipTracks:
        """Take the next T frames, each once.

        Raises:
            ValueError: frames are repeated, or the numbers of queries, classes or channels differ
                from the first frame's.
        """
        if repeated:
            raise ValueError(f"repeated must be 0: each frame is taken once, got {repeated}")
        if isinstance(clip, ClipOutput):
            clip = detections_of(clip, needs=self.needs)
        first = self._num_frames
        retracted: list[Span] = []
        found = [self._update(frame, retracted) for frame in clip]
        ids = sorted({id_ for visible in found for id_ in visible})
        row = {id_: index for index, id_ in enumerate(ids)}
        num_classes = self._shape[1] if self._shape else 1
        queries = np.full((len(ids), len(clip)), ABSENT, np.int64)
        class_scores = np.zeros((len(ids), len(clip), num_classes), np.float32)
        for time, visible in enumerate(found):
            for id_, (query, scores) in visible.items():
                queries[row[id_], time] = query
                class_scores[row[id_], time] = scores
        for id_, begin, end in retracted:  # frames of this step are not reported at all
            if id_ in row:
                queries[row[id_], max(0, begin - first) : max(0, end + 1 - first)] = ABSENT
        return ClipTracks(
            first, np.array(ids, np.int64), queries, class_scores, retracted=tuple(retracted)
        )

    def _update(self, frame: Detections, retracted: list[Span]) -> dict[int, tuple[int, Floats]]:
        """Take a frame; return the query and the class scores of each track that it shows."""
        if self._shape not in (None, frame.shape):
            raise ValueError(
                f"queries, classes and channels must be {self._shape}, as in the first frame, "
                f"got {frame.shape}"
            )
        self._shape = frame.shape
        self._num_frames += 1
        assignment = self.associator.update(frame)
        self._forget(assignment)
        retracted += assignment.retracted
        visible = {}
        for query in np.flatnonzero(assignment.ids != NO_TRACK).tolist():
            id_ = int(assignment.ids[query])
            probabilities = frame.class_probabilities[query]
            if id_ in self._living:
                sums = self._living[id_]
                sums.classes += probabilities
                sums.num_visible += 1
            else:
                sums = self._living[id_] = ScoreSums(probabilities.astype(np.float64))
            visible[id_] = (query, sums.class_scores)
        return visible

    def _forget(self, assignment: Assignment) -> None:
        """Drop what was retracted, and all ended tracks but the best."""
        for id_, _, _ in assignment.retracted:
            self._living.pop(id_, None)
            self._ended.pop(id_, None)
        for id_ in assignment.ended:
            if id_ in self._living:
                self._ended[id_] = self._living.pop(id_)
        if len(self._ended) > 2 * MAX_ENDED:
            best = heapq.nlargest(
                MAX_ENDED, self._ended.items(), key=lambda track: track[1].best_score()
            )
            self._ended = dict(best)

    def score_masks(self, ids: Ints, scores: Floats) -> None:
        """Take the mask scores (N,) of tracks (N,) that the next frame shows."""
        self._has_mask_scores = True
        for id_, score in zip(ids.tolist(), scores.tolist(), strict=True):
            sums = self._living.get(id_) or self._ended.get(id_)
            if sums is not None:  # else it was retracted later in the same step
                sums.masks += score

    def finish(self) -> VideoTracks:
        """Rank all pairs of a track and a class, best first; ties go to the older track."""
        tracks = dict(sorted((self._ended | self._living).items()))
        ids = np.array(list(tracks), np.int64)
        if len(ids) == 0:
            return VideoTracks(ids, ids, np.zeros(0))
        factors = np.array(
            [
                (sums.masks if self._has_mask_scores else sums.num_visible) / self._num_frames
                for sums in tracks.values()
            ]
        )
        scores = np.stack([sums.class_scores for sums in tracks.values()]) * factors[:, None]
        order = np.argsort(-scores, axis=None, kind="stable")
        rows, labels = np.unravel_index(order, scores.shape)  # of (N, K)
        return VideoTracks(ids[rows], labels.astype(np.int64), scores[rows, labels])

    def state_dict(self) -> StateDict:
        return {
            "associator": self.associator.state_dict(),
            "num_frames": self._num_frames,
            "has_mask_scores": self._has_mask_scores,
            "shape": np.array(self._shape or (), np.int64),
            "living": _as_arrays(self._living),
            "ended": _as_arrays(self._ended),
        }

    def load_state_dict(self, state: StateDict) -> None:
        self.associator.load_state_dict(state["associator"])
        self._num_frames = int(state["num_frames"])
        self._has_mask_scores = bool(state["has_mask_scores"])
        num_queries, num_classes, channels = state["shape"].tolist() or (0, 0, 0)
        self._shape = (num_queries, num_classes, channels) if channels else None
        self._living, self._ended = (_from_arrays(state[name]) for name in ("living", "ended"))

    def state_size(self) -> int:
        return size_of(self.state_dict())


def _as_arrays(tracks: Mapping[int, ScoreSums]) -> StateDict:
    return {
        "ids": np.array(list(tracks), np.int64),
        "num_visible": np.array([sums.num_visible for sums in tracks.values()], np.int64),
        "masks": np.array([sums.masks for sums in tracks.values()], np.float64),
        "classes": np.array([sums.classes for sums in tracks.values()], np.float64),
    }


def _from_arrays(state: StateDict) -> dict[int, ScoreSums]:
    columns = (state["ids"].tolist(), state["classes"], state["num_visible"].tolist())
    rows = zip(*columns, state["masks"].tolist(), strict=True)
    return {id_: ScoreSums(classes.copy(), num, masks) for id_, classes, num, masks in rows}
