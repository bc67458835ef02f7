"""Online tracking by query embeddings: which query of this frame is which track.

The association is the one published as MinVIS (Huang et al., NeurIPS 2022): an assignment between
this frame's queries and Q slots by cosine similarity, here with a memory that outlives occlusion,
births and deaths. Everything is numpy on the CPU; the state has Q slots however long the video is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_UNLIKE = 4.0
"""What a forbidden pair costs: more than any two pairs can differ by in cosine similarity."""


@dataclass(frozen=True)
class Detections:
    """What the segmenter says of one frame.

    Attributes:
        class_probabilities: (Q, K) float32, the softmax without its entry "no instance".
        embeddings: (Q, C) float32.
        masks: (Q, h, w) bool, at any one stride.
    """

    class_probabilities: Floats
    embeddings: Floats
    masks: Bools

    def __post_init__(self) -> None:
        num = len(self.class_probabilities)
        if self.class_probabilities.ndim != 2 or self.class_probabilities.shape[1] < 1:
            raise ValueError(
                f"class_probabilities must be (Q, K), got {self.class_probabilities.shape}"
            )
        if self.embeddings.ndim != 2 or len(self.embeddings) != num:
            raise ValueError(f"embeddings must be ({num}, C), got {self.embeddings.shape}")
        if self.masks.ndim != 3 or len(self.masks) != num or self.masks.dtype != np.bool_:
            raise ValueError(
                f"masks must be ({num}, h, w) bool, got {self.masks.shape} {self.masks.dtype}"
            )


@dataclass(frozen=True)
class TrackedQuery:
    """A track that is visible in this frame.

    Attributes:
        track_id: 1, 2, ...; never used again for another track.
        query: the query that shows it in this frame.
        class_scores: (K,) float32, class probabilities averaged over its visible frames so far.
    """

    track_id: int
    query: int
    class_scores: Floats

    @property
    def label(self) -> int:
        """The class with the best average so far."""
        return int(self.class_scores.argmax())


class Tracker(Protocol):
    """Gives the queries of successive frames their track ids; one object a video."""

    def update(self, detections: Detections) -> list[TrackedQuery]:
        """Take the next frame; return its visible tracks, smallest id first."""
        ...


@dataclass(frozen=True)
class TrackerOptions:
    """Settings of the trackers.

    Attributes:
        start_score: a track is born, or seen again after a gap, at this class score.
        keep_score: a track that was visible in the last frame stays so down to this class score.
        max_gap: a track unseen for more frames than this has ended; a later sight is a new track.
        momentum: how much of a track's memory stays when it is seen. The memory is the mean of
            the first 1 / (1 - momentum) sights and exponential from there on; 0 remembers the
            last sight alone, 1 is the mean of all.
        iou_weight: what a mask IoU of 1 with the slot's last visible mask adds to the similarity.
        min_similarity: a query less similar than this (cosine) to a track does not continue it.
    """

    start_score: float = 0.1
    keep_score: float = 0.05
    max_gap: int = 20
    momentum: float = 0.95
    iou_weight: float = 0.0
    min_similarity: float = 0.2

    def __post_init__(self) -> None:
        if not 0 <= self.keep_score <= self.start_score <= 1:
            raise ValueError(
                "keep_score and start_score must satisfy 0 <= keep_score <= start_score <= 1, "
                f"got {self.keep_score} and {self.start_score}"
            )
        if self.max_gap < 0:
            raise ValueError(f"max_gap must be at least 0, got {self.max_gap}")
        if not 0 <= self.momentum <= 1:
            raise ValueError(f"momentum must be in [0, 1], got {self.momentum}")
        if self.iou_weight < 0:
            raise ValueError(f"iou_weight must be at least 0, got {self.iou_weight}")
        if not -1 <= self.min_similarity <= 1:
            raise ValueError(f"min_similarity must be in [-1, 1], got {self.min_similarity}")


class QueryTracker:
    """Associate queries by their embeddings; hidden tracks keep their place and their memory.

    Every query fills one of Q slots. Slots without a track follow their background query, so a
    newcomer is weighed against what its query looked like before, not against tracks alone. A query
    counts in the assignment by its class score: background must not push an object to another slot.
    """

    def __init__(self, options: TrackerOptions | None = None) -> None:
        self.options = options or TrackerOptions()
        self._slots: _Slots | None = None
        self._memory: Floats = np.empty((0, 0), np.float32)  # (Q, C), means of unit vectors
        self._masks: Bools = np.empty((0, 0, 0), np.bool_)  # (Q, h, w), where last visible

    def update(self, detections: Detections) -> list[TrackedQuery]:
        """Take the next frame; return its visible tracks, smallest id first.

        Raises:
            ValueError: the numbers of queries, classes or channels differ from the first frame's.
        """
        units = _normalised(detections.embeddings)
        if self._slots is None:
            self._slots = _Slots(self.options, *detections.class_probabilities.shape)
            self._memory = units.copy()
            self._masks = np.zeros_like(detections.masks)
        slots = self._slots
        slots.check(detections)
        if units.shape != self._memory.shape:
            raise ValueError(f"embeddings must be {self._memory.shape}, got {units.shape}")

        similarity = _normalised(self._memory) @ units.T  # (slots, Q)
        order = self._assign(slots, similarity, detections)  # (slots,), the query of each
        alike = similarity[np.arange(len(order)), order] >= self.options.min_similarity
        visible = slots.advance(detections, order, alike)
        self._remember(slots, units[order], visible)
        if self.options.iou_weight > 0:
            self._masks[visible] = detections.masks[order[visible]]
        return slots.report(visible, order)

    def _assign(self, slots: _Slots, similarity: Floats, detections: Detections) -> Ints:
        """Return the query of each slot, (Q,): the assignment with the greatest similarity."""
        scores = detections.class_probabilities.max(axis=1)
        tracked, sure = slots.ids > 0, scores >= self.options.start_score
        affinity = similarity.copy()
        if self.options.iou_weight > 0:
            rows, columns = (
                np.flatnonzero(tracked),
                np.flatnonzero(scores >= self.options.keep_score),
            )
            overlap = mask_iou(self._masks[rows], detections.masks[columns])
            affinity[np.ix_(rows, columns)] += self.options.iou_weight * overlap
        unlike = np.outer(tracked, sure) & (similarity < self.options.min_similarity)
        weights = scores + 1e-3  # background still follows itself, where no object minds
        utility = (affinity - _UNLIKE * unlike) * weights
        return linear_sum_assignment(utility, maximize=True)[1].astype(np.int64)

    def _remember(self, slots: _Slots, units: Floats, visible: Bools) -> None:
        """Blend the visible tracks' embeddings into their memory; free slots follow their query."""
        free = slots.ids == 0
        self._memory[free] = units[free]
        weight = np.maximum(1 / slots.sights[visible, None], 1 - self.options.momentum)
        self._memory[visible] += weight * (units[visible] - self._memory[visible])


class IndexTracker:
    """The floor under every association, "no matching": a query's index is its identity."""

    def __init__(self, options: TrackerOptions | None = None) -> None:
        self.options = options or TrackerOptions()
        self._slots: _Slots | None = None

    def update(self, detections: Detections) -> list[TrackedQuery]:
        """Take the next frame; return its visible tracks, smallest id first.

        Raises:
            ValueError: the number of queries or classes differs from the first frame's.
        """
        if self._slots is None:
            self._slots = _Slots(self.options, *detections.class_probabilities.shape)
        self._slots.check(detections)
        order = np.arange(len(detections.embeddings), dtype=np.int64)
        visible = self._slots.advance(detections, order, np.ones(len(order), np.bool_))
        return self._slots.report(visible, order)


class _Slots:
    """The lives in Q slots: ids (0: none), frames unseen, sights, and summed class scores."""

    def __init__(self, options: TrackerOptions, num_slots: int, num_classes: int) -> None:
        self.options = options
        self.ids: Ints = np.zeros(num_slots, np.int64)
        self.gaps: Ints = np.zeros(num_slots, np.int64)
        self.sights: Ints = np.zeros(num_slots, np.int64)
        self.class_sums = np.zeros((num_slots, num_classes), np.float64)
        self.num_born = 0

    def check(self, detections: Detections) -> None:
        """Raise ValueError where a frame has another number of queries or classes."""
        if detections.class_probabilities.shape != self.class_sums.shape:
            raise ValueError(
                f"class_probabilities must be {self.class_sums.shape}, as in the first frame, "
                f"got {detections.class_probabilities.shape}"
            )

    def advance(self, detections: Detections, order: Ints, alike: Bools) -> Bools:
        """Live through one frame; return which slots show their track, (Q,).

        Args:
            detections: the frame.
            order: (Q,), the query of each slot.
            alike: (Q,), whether that query may be the slot's track; if it may not, a sure sight
                begins a new one.
        """
        probabilities = detections.class_probabilities[order]
        scores = probabilities.max(axis=1)
        tracked = self.ids > 0
        unbroken = tracked & alike & (self.gaps == 0)
        needed = np.where(unbroken, self.options.keep_score, self.options.start_score)
        visible: Bools = scores >= needed
        visible[visible] = detections.masks[order[visible]].any(axis=(1, 2))

        self.gaps = np.where(visible, 0, self.gaps + tracked)
        ended = (self.gaps > self.options.max_gap) | (visible & ~(tracked & alike))
        self.ids[ended] = self.gaps[ended] = self.sights[ended] = 0
        self.class_sums[ended] = 0.0
        born = np.flatnonzero(visible & ended)
        born = born[np.argsort(-scores[born], kind="stable")]  # ids do not depend on query order
        self.ids[born] = self.num_born + 1 + np.arange(len(born))
        self.num_born += len(born)

        self.sights[visible] += 1
        self.class_sums[visible] += probabilities[visible]
        return visible

    def report(self, visible: Bools, order: Ints) -> list[TrackedQuery]:
        """Return the visible tracks, smallest id first."""
        shown = np.flatnonzero(visible)
        shown = shown[np.argsort(self.ids[shown])]
        means = (self.class_sums[shown] / self.sights[shown, None]).astype(np.float32)
        return [
            TrackedQuery(int(self.ids[slot]), int(order[slot]), mean)
            for slot, mean in zip(shown, means, strict=True)
        ]


def mask_iou(first: Bools, second: Bools) -> Floats:
    """Return the IoU of each pair of masks, (N, h, w) and (M, h, w) bool -> (N, M) float32."""
    pixels = first.shape[1] * first.shape[2]
    rows = first.reshape(len(first), pixels).astype(np.float32)
    columns = second.reshape(len(second), pixels).astype(np.float32)
    shared = rows @ columns.T
    union = rows.sum(axis=1)[:, None] + columns.sum(axis=1)[None] - shared
    return (shared / np.maximum(union, 1)).astype(np.float32)


def _normalised(vectors: Floats) -> Floats:
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (vectors / np.maximum(norms, 1e-12)).astype(np.float32)
