"""A tracker of any `Associator`: classes averaged over a track, a ranking at the end."""

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
    Associator,
    ClipTracks,
    StateDict,
    VideoTracks,
    size_of,
)
from vidgap_vis.trackers.detections import Detections, Floats, detections_of

MAX_ENDED = 1000
"""How many tracks that have ended are kept for the ranking: those seen best and longest. A video
lists a few dozen, so no more than memory depends on it."""


@dataclass
class _Sights:
    """The sum of a track's class probabilities, (K,) float64, over its sights."""

    class_sum: npt.NDArray[np.float64]
    num: int = 1

    @property
    def mean(self) -> Floats:
        return (self.class_sum / self.num).astype(np.float32)


class OnlineTracker:
    """Follow instances frame by frame, holding a bounded state.

    A track's class scores are the class probabilities averaged over the frames that show it. Its
    score in the ranking is that times its mask score over all frames of the video (0 where it is
    absent), so that fragments rank below tracks that hold, as in MinVIS; without mask scores, times
    the share of frames that show it.

    Args:
        associator: gives identities.
    """

    offline = False

    def __init__(self, associator: Associator) -> None:
        self.associator = associator
        self._shape: tuple[int, int, int] | None = None
        self._num_frames = 0
        self._living: dict[int, _Sights] = {}
        self._ended: dict[int, _Sights] = {}

    @property
    def needs(self) -> frozenset[str]:
        """What the associator needs."""
        return self.associator.needs

    def step(self, clip: ClipOutput | Sequence[Detections], repeated: int = 0) -> ClipTracks:
        """Take the next T frames, each once.

        Raises:
            ValueError: frames are repeated, or the numbers of queries, classes or channels differ
                from the first frame's.
        """
        if repeated:
            raise ValueError(f"repeated must be 0: each frame is taken once, got {repeated}")
        frames = detections_of(clip) if isinstance(clip, ClipOutput) else clip
        first = self._num_frames
        found = [self._update(frame) for frame in frames]
        ids = sorted({id_ for sights in found for id_ in sights})
        row = {id_: index for index, id_ in enumerate(ids)}
        num_classes = self._shape[1] if self._shape else 1
        queries = np.full((len(ids), len(frames)), ABSENT, np.int64)
        class_scores = np.zeros((len(ids), len(frames), num_classes), np.float32)
        for time, sights in enumerate(found):
            for id_, (query, mean) in sights.items():
                queries[row[id_], time] = query
                class_scores[row[id_], time] = mean
        return ClipTracks(first, np.array(ids, np.int64), queries, class_scores)

    def _update(self, frame: Detections) -> dict[int, tuple[int, Floats]]:
        """Take a frame; return the query and the class scores of each track that it shows."""
        if self._shape not in (None, frame.shape):
            raise ValueError(
                f"queries, classes and channels must be {self._shape}, as in the first frame, "
                f"got {frame.shape}"
            )
        self._shape = frame.shape
        self._num_frames += 1
        assignment = self.associator.update(frame)
        seen = {}
        for query in np.flatnonzero(assignment.ids != NO_TRACK).tolist():
            id_ = int(assignment.ids[query])
            probabilities = frame.class_probabilities[query]
            if id_ in self._living:
                sights = self._living[id_]
                sights.class_sum += probabilities
                sights.num += 1
            else:
                sights = self._living[id_] = _Sights(probabilities.astype(np.float64))
            seen[id_] = (query, sights.mean)
        for id_ in assignment.ended:
            self._ended[id_] = self._living.pop(id_)
        if len(self._ended) > 2 * MAX_ENDED:
            self._ended = dict(heapq.nlargest(MAX_ENDED, self._ended.items(), key=_weight))
        return seen

    def finish(self, mask_scores: Mapping[int, float] | None = None) -> VideoTracks:
        """Rank all pairs of a track and a class, best first; of equal ones the older track."""
        sights = self._ended | self._living
        ids = np.array(sorted(sights), np.int64)
        if len(ids) == 0:
            return VideoTracks(ids, ids, np.zeros(0))
        if mask_scores is None:
            factors = np.array([sights[i].num / self._num_frames for i in ids.tolist()])
        else:
            factors = np.array([mask_scores.get(i, 0.0) for i in ids.tolist()])
        scores = np.stack([sights[i].mean for i in ids.tolist()]) * factors[:, None]  # (N, K)
        order = np.argsort(-scores, axis=None, kind="stable")
        rows, labels = np.unravel_index(order, scores.shape)
        return VideoTracks(ids[rows], labels.astype(np.int64), scores[rows, labels])

    def state_dict(self) -> StateDict:
        """Return the associator's state and the sums of all tracks."""
        return {
            "associator": self.associator.state_dict(),
            "num_frames": self._num_frames,
            "shape": self._shape,
            "living": _as_arrays(self._living),
            "ended": _as_arrays(self._ended),
        }

    def load_state_dict(self, state: StateDict) -> None:
        """Go on from there."""
        self.associator.load_state_dict(state["associator"])
        self._num_frames, self._shape = state["num_frames"], state["shape"]
        self._living, self._ended = (_from_arrays(state[name]) for name in ("living", "ended"))

    def state_size(self) -> int:
        """Return the bytes of arrays that it holds."""
        return size_of(self.state_dict())


def _weight(track: tuple[int, _Sights]) -> float:
    """Return what a track that has ended can at most score, but for the length of the video."""
    return float(track[1].class_sum.max())


def _as_arrays(sights: Mapping[int, _Sights]) -> StateDict:
    return {
        "ids": np.array(list(sights), np.int64),
        "nums": np.array([each.num for each in sights.values()], np.int64),
        "class_sums": np.array([each.class_sum for each in sights.values()], np.float64),
    }


def _from_arrays(state: StateDict) -> dict[int, _Sights]:
    rows = zip(state["ids"].tolist(), state["nums"].tolist(), state["class_sums"], strict=True)
    return {id_: _Sights(class_sum.copy(), num) for id_, num, class_sum in rows}
