"""A tracker from any `Associator`: classes and mask scores averaged over a track, then ranked."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import fields

import numpy as np

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
from vidgap_vis.trackers.ranking import Doubles, ScoreRecipe, ScoreSums

MAX_ENDED = 1000
"""How many ended tracks, the best ones, are kept for the ranking: results list a few dozen."""


class OnlineTracker:
    """Follow instances frame by frame, holding a bounded state.

    Args:
        associator: gives identities.
        recipe: how the scores of a track's frames make one.
        any_number: whether frames may have other numbers of detections than the first, as those of
            detectors do; not for associators that go by the query.
    """

    offline = False
    clip_frames = 1
    repeated = 0

    def __init__(
        self,
        associator: Associator,
        recipe: ScoreRecipe | None = None,
        *,
        any_number: bool = False,
    ) -> None:
        self.associator = associator
        self.any_number = any_number
        self.recipe = recipe or ScoreRecipe()
        self._shape: tuple[int, int, int] | None = None
        self._num_frames = 0
        self._has_mask_scores = False
        self._living: dict[int, ScoreSums] = {}
        self._ended: dict[int, ScoreSums] = {}

    @property
    def needs(self) -> frozenset[Need]:
        return self.associator.needs | self.recipe.needs

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
        ended: list[int] = []
        found = [self._update(frame, retracted, ended) for frame in clip]
        ids = np.unique(np.concatenate([np.zeros(0, np.int64), *(seen for seen, _, _ in found)]))
        num_classes = clip[0].shape[1]
        queries = np.full((len(ids), len(clip)), ABSENT, np.int64)
        class_scores = np.zeros((len(ids), len(clip), num_classes), np.float32)
        for time, (seen, by, scores) in enumerate(found):
            rows = np.searchsorted(ids, seen)
            queries[rows, time], class_scores[rows, time] = by, scores
        for id_, begin, end in retracted:  # frames of this step are not reported at all
            queries[ids == id_, max(0, begin - first) : max(0, end + 1 - first)] = ABSENT
        return ClipTracks(
            first,
            ids,
            queries,
            class_scores,
            retracted=tuple(retracted),
            ended=tuple(ended),
            mask_resize=self.recipe.mask_resize,
        )

    def _update(
        self, frame: Detections, retracted: list[Span], ended: list[int]
    ) -> tuple[Ints, Ints, Doubles]:
        """Take a frame; return the tracks (R,) that it shows, their queries and class scores."""
        first = 1 if self.any_number else 0  # of what must be as before
        nothing = self.any_number and frame.shape[0] == 0
        if not nothing and self._shape is not None and self._shape[first:] != frame.shape[first:]:
            raise ValueError(
                f"queries, classes and channels must be {self._shape}, as in the first frame, "
                f"got {frame.shape}"
            )
        self._shape = self._shape if nothing else frame.shape
        self._num_frames += 1
        assignment = self.associator.update(frame)
        self._forget(assignment)
        retracted += assignment.retracted
        ended += assignment.ended
        shown = np.flatnonzero(assignment.ids != NO_TRACK)[::-1]  # the last of a track first
        ids, firsts = np.unique(assignment.ids[shown], return_index=True)
        queries = shown[firsts]
        if len(ids) == 0:
            return ids, queries, np.zeros((0, frame.shape[1]))
        tracks = []
        for id_, classes in zip(ids.tolist(), self.recipe.of_frame(frame, queries), strict=True):
            sums = self._living.get(id_)
            if sums is None:
                sums = self._living[id_] = ScoreSums(classes.copy())
            else:
                sums.classes += classes
                sums.num_visible += 1
            tracks.append(sums)
        return ids, queries, self._class_scores(tracks)

    def _class_scores(self, tracks: Sequence[ScoreSums]) -> Doubles:
        """Return the class scores of tracks (R > 0) so far, (R, K)."""
        sums = np.concatenate([track.classes for track in tracks]).reshape(len(tracks), -1)
        num_visible = np.array([track.num_visible for track in tracks])
        num_classes = self._shape[1] if self._shape else sums.shape[1]
        return self.recipe.class_scores(sums / num_visible[:, None], num_classes)

    def _mask_factor(self, sums: ScoreSums) -> float:
        return sums.mask_factor(self.recipe, self._num_frames, has_masks=self._has_mask_scores)

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
                MAX_ENDED, self._ended.items(), key=lambda track: self._best_score(track[1])
            )
            self._ended = dict(best)

    def _best_score(self, sums: ScoreSums) -> float:
        return float(self._class_scores([sums]).max()) * self._mask_factor(sums)

    def score_masks(self, ids: Ints, scores: Floats, areas: Ints) -> None:
        """Take the mask scores (N,) and areas (N,) of tracks (N,) that the next frame shows."""
        self._has_mask_scores = True
        for id_, *mask in zip(ids.tolist(), scores.tolist(), areas.tolist(), strict=True):
            sums = self._living.get(id_) or self._ended.get(id_)
            if sums is not None:  # else it was retracted later in the same step
                sums.add_mask(*mask)

    def finish(self) -> VideoTracks:
        """Rank the listed pairs of a track and a class, best first; ties go to the older track."""
        tracks = dict(sorted((self._ended | self._living).items()))
        ids = np.array(list(tracks), np.int64)
        if len(ids) == 0:
            return VideoTracks(ids, ids, np.zeros(0))
        factors = np.array([self._mask_factor(sums) for sums in tracks.values()])
        classes = self._class_scores(list(tracks.values()))
        scores = classes * factors[:, None]
        order = np.argsort(-scores, axis=None, kind="stable")
        if self.recipe.above is not None:
            order = order[classes.flat[order] > self.recipe.above]
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
    names = [field.name for field in fields(ScoreSums)]
    columns = {name: np.array([getattr(t, name) for t in tracks.values()]) for name in names}
    return {"ids": np.array(list(tracks), np.int64), **columns}


def _from_arrays(state: StateDict) -> dict[int, ScoreSums]:
    columns = [state[field.name] for field in fields(ScoreSums)]
    rows = zip(*(c if c.ndim > 1 else c.tolist() for c in columns), strict=True)
    return {
        id_: ScoreSums(classes.copy(), *sums)
        for id_, (classes, *sums) in zip(state["ids"].tolist(), rows, strict=True)
    }
