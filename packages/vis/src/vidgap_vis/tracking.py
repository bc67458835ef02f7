"""Online tracking by query embeddings: which query of this frame is which track.

Queries that show something are assigned to the tracks that live, by the cosine similarity of their
embeddings, as published for MinVIS (Huang et al., NeurIPS 2022), and by the overlap of their masks
where the track was seen in the last frame. Everything is numpy on the CPU; what is kept does not
grow with the video.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Detections:
    """What the segmenter says of one frame.

    Attributes:
        class_probabilities: (Q, K) float32, as `ClipOutput.class_probabilities` gives them.
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
    """Settings of the trackers; docs/results.md says on what data they were chosen.

    Attributes:
        min_score: queries whose best class probability is less show nothing.
        duplicate_iou: of two queries whose masks overlap more, the one with the lesser score shows
            nothing (0.6 in CTVIS).
        max_gap: a track unseen for more frames than this has ended; a later sight is a new track.
        momentum: how much of a track's memory stays when it is seen. The memory is the mean of
            the first 1 / (1 - momentum) sights and exponential from there on; 0 remembers the
            last sight alone, 1 is the mean of all.
        iou_weight: what a mask IoU of 1 with the last frame's mask adds to the cosine similarity.
        min_affinity: a query continues a track that the last frame showed if similarity and
            overlap come to this.
        reacquire_similarity: a query continues any living track if the cosine similarity alone
            comes to this.
    """

    min_score: float = 0.2
    duplicate_iou: float = 0.6
    max_gap: int = 20
    momentum: float = 0.5
    iou_weight: float = 3.0
    min_affinity: float = 1.5
    reacquire_similarity: float = 0.95

    def __post_init__(self) -> None:
        for name in ("min_score", "duplicate_iou", "momentum"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {value}")
        if self.max_gap < 0:
            raise ValueError(f"max_gap must be at least 0, got {self.max_gap}")
        if self.iou_weight < 0:
            raise ValueError(f"iou_weight must be at least 0, got {self.iou_weight}")


@dataclass
class _Track:
    """A living track: what is remembered of it."""

    track_id: int
    memory: Floats  # (C,), mean of unit vectors
    mask: Bools  # (h, w), where last seen
    class_sum: npt.NDArray[np.float64]  # (K,)
    num_sights: int = 1
    gap: int = 0  # frames since it was seen

    def see(self, embedding: Floats, mask: Bools, probabilities: Floats, momentum: float) -> None:
        """Take a further sight of the track."""
        self.num_sights += 1
        weight = max(1 / self.num_sights, 1 - momentum)
        self.memory = self.memory + np.float32(weight) * (embedding - self.memory)
        self.mask = mask
        self.class_sum += probabilities
        self.gap = 0


@dataclass
class _Tracks:
    """The living tracks of a video, oldest first, and the births so far."""

    options: TrackerOptions
    living: list[_Track] = field(default_factory=list)
    num_born: int = 0
    shape: tuple[int, int, int] | None = None

    def check(self, detections: Detections) -> None:
        """Raise ValueError where a frame has another number of queries, classes or channels."""
        shape = (*detections.class_probabilities.shape, detections.embeddings.shape[1])
        if self.shape not in (None, shape):
            raise ValueError(
                f"queries, classes and channels must be {self.shape}, as in the first frame, "
                f"got {shape}"
            )
        self.shape = shape

    def advance(
        self, detections: Detections, units: Floats, queries: Ints, tracks: Sequence[_Track | None]
    ) -> list[TrackedQuery]:
        """Live through one frame.

        Args:
            detections: the frame.
            units: (Q, C), its embeddings at length 1.
            queries: (D,), those that show something, best score first.
            tracks: (D,), the living track of each; None: it begins one.

        Returns:
            The visible tracks, smallest id first.
        """
        for track in self.living:
            track.gap += 1
        seen: list[TrackedQuery] = []
        for query, known in zip(queries.tolist(), tracks, strict=True):
            # Copies: a view would keep the masks of all queries alive with the track.
            sight = (
                units[query].copy(),
                detections.masks[query].copy(),
                detections.class_probabilities[query],
            )
            track = known or self._born(*sight)
            if known is not None:
                known.see(*sight, self.options.momentum)
            mean = (track.class_sum / track.num_sights).astype(np.float32)
            seen.append(TrackedQuery(track.track_id, query, mean))
        self.living = [track for track in self.living if track.gap <= self.options.max_gap]
        return sorted(seen, key=lambda tracked: tracked.track_id)

    def _born(self, embedding: Floats, mask: Bools, probabilities: Floats) -> _Track:
        self.num_born += 1
        track = _Track(self.num_born, embedding, mask, probabilities.astype(np.float64))
        self.living.append(track)
        return track


class QueryTracker:
    """Associate queries with tracks by embedding and overlap.

    The assignment has the greatest sum of what each pair has above the least that it needs; a query
    without a pair begins a track. A track out of sight keeps its memory, and may be found again by
    embedding alone.
    """

    def __init__(self, options: TrackerOptions | None = None) -> None:
        self.options = options or TrackerOptions()
        self._tracks = _Tracks(self.options)

    def update(self, detections: Detections) -> list[TrackedQuery]:
        """Take the next frame; return its visible tracks, smallest id first.

        Raises:
            ValueError: the numbers of queries, classes or channels differ from the first frame's.
        """
        self._tracks.check(detections)
        units = normalised(detections.embeddings)
        queries = showing(detections, self.options)
        matched: list[_Track | None] = [None] * len(queries)
        living = self._tracks.living
        if living and len(queries):
            gain = self._gain(living, units[queries], detections.masks[queries])
            for row, column in zip(*linear_sum_assignment(gain, maximize=True), strict=True):
                if gain[row, column] > 0:
                    matched[column] = living[row]
        return self._tracks.advance(detections, units, queries, matched)

    def _gain(self, tracks: Sequence[_Track], units: Floats, masks: Bools) -> Floats:
        """Return what each pair has above the least it needs, 0 where it has less: (N, D)."""
        similarity = normalised(np.stack([track.memory for track in tracks])) @ units.T
        gain = similarity - self.options.reacquire_similarity
        recent = [index for index, track in enumerate(tracks) if track.gap == 0]
        if recent:
            overlap = mask_iou(np.stack([tracks[index].mask for index in recent]), masks)
            affinity = similarity[recent] + self.options.iou_weight * overlap
            gain[recent] = np.maximum(gain[recent], affinity - self.options.min_affinity)
        return np.maximum(gain, 0).astype(np.float32)


class IndexTracker:
    """The floor under every association, "no matching": a query's index is its identity."""

    def __init__(self, options: TrackerOptions | None = None) -> None:
        self.options = options or TrackerOptions()
        self._tracks = _Tracks(self.options)
        self._of_query: dict[int, int] = {}  # query -> id of its last track

    def update(self, detections: Detections) -> list[TrackedQuery]:
        """Take the next frame; return its visible tracks, smallest id first.

        Raises:
            ValueError: the numbers of queries, classes or channels differ from the first frame's.
        """
        self._tracks.check(detections)
        queries = showing(detections, self.options)
        living = {track.track_id: track for track in self._tracks.living}
        matched = [living.get(self._of_query.get(query, 0)) for query in queries.tolist()]
        units = normalised(detections.embeddings)
        tracked = self._tracks.advance(detections, units, queries, matched)
        self._of_query.update({each.query: each.track_id for each in tracked})
        return tracked


def showing(detections: Detections, options: TrackerOptions) -> Ints:
    """Return the queries that show something, best score first, without duplicates: (D,)."""
    scores = detections.class_probabilities.max(axis=1)
    filled: Bools = np.asarray(detections.masks.any(axis=(1, 2)))
    order = np.argsort(-scores, kind="stable")
    candidates = order[(scores[order] >= options.min_score) & filled[order]]
    overlap = mask_iou(detections.masks[candidates], detections.masks[candidates])
    kept: list[int] = []
    for index in range(len(candidates)):
        if not np.any(overlap[index, kept] > options.duplicate_iou):
            kept.append(index)
    return candidates[kept].astype(np.int64)


def mask_iou(first: Bools, second: Bools) -> Floats:
    """Return the IoU of each pair of masks, (N, h, w) and (M, h, w) bool -> (N, M) float32."""
    pixels = first.shape[1] * first.shape[2]  # not -1: there may be no mask
    rows = first.reshape(len(first), pixels).astype(np.float32)
    columns = second.reshape(len(second), pixels).astype(np.float32)
    shared = rows @ columns.T
    union = rows.sum(axis=1)[:, None] + columns.sum(axis=1)[None] - shared
    return (shared / np.maximum(union, 1)).astype(np.float32)


def normalised(vectors: Floats) -> Floats:
    """Return vectors (N, C) at length 1."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (vectors / np.maximum(norms, 1e-12)).astype(np.float32)
