"""The living tracks of a video: what is remembered about them, and which detections are tracks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from vidgap_vis.trackers.base import NO_TRACK, Assignment, StateDict
from vidgap_vis.trackers.detections import Bools, Detections, Floats, Ints, mask_iou


@dataclass(frozen=True)
class MemoryOptions:
    """Which detections are tracks, and for how long they are remembered.

    docs/results/tracker.md says on what data the values were chosen.

    Attributes:
        min_score: queries whose best class probability is lower show nothing.
        duplicate_iou: of two queries whose masks overlap more, the one with the lower score shows
            nothing (0.6 in CTVIS).
        max_gap: a track unseen for more frames than this has ended; if it is seen later, it is
            a new one.
        momentum: how much of a track's embedding stays when it is seen. It is the mean over the
            first 1 / (1 - momentum) visible frames and exponential from there on; 0 keeps the last
            one alone, 1 is the mean of all.
    """

    min_score: float = 0.2
    duplicate_iou: float = 0.6
    max_gap: int = 20
    momentum: float = 0.5

    def __post_init__(self) -> None:
        for name in ("min_score", "duplicate_iou", "momentum"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {value}")
        if self.max_gap < 0:
            raise ValueError(f"max_gap must be at least 0, got {self.max_gap}")


@dataclass
class LivingTrack:
    """What is remembered about a track.

    Attributes:
        id: 1, 2, ...
        embedding: (C,) float32, a mean of unit vectors.
        mask: (h, w) bool, where last seen.
        num_visible: frames that showed it.
        gap: frames since the last of them.
    """

    id: int
    embedding: Floats
    mask: Bools
    num_visible: int = 1
    gap: int = 0

    def update(self, embedding: Floats, mask: Bools, momentum: float) -> None:
        """Take a further frame that shows the track: unit vector (C,), mask (h, w) bool."""
        self.num_visible += 1
        weight = max(1 / self.num_visible, 1 - momentum)
        self.embedding = self.embedding + np.float32(weight) * (embedding - self.embedding)
        self.mask = mask
        self.gap = 0


@dataclass
class Memory:
    """The living tracks of a video, oldest first, and how many have begun so far."""

    options: MemoryOptions
    living: list[LivingTrack] = field(default_factory=list)
    num_begun: int = 0

    def advance(
        self,
        frame: Detections,
        units: Floats,
        queries: Ints,
        tracks: Sequence[LivingTrack | None],
    ) -> Assignment:
        """Take one frame: tracks continue, begin and end.

        Args:
            frame: all detections.
            units: (Q, C), their embeddings scaled to length 1.
            queries: (D,), the visible ones, best score first.
            tracks: (D,), the living track of each; None: it begins one.

        Returns:
            The track of each of the Q detections, and the tracks that have ended.
        """
        for track in self.living:
            track.gap += 1
        ids = np.full(len(frame.embeddings), NO_TRACK, np.int64)
        for query, known in zip(queries.tolist(), tracks, strict=True):
            # Copies: a view would keep the masks of all queries alive with the track.
            embedding, mask = units[query].copy(), frame.masks[query].copy()
            if known is not None:
                known.update(embedding, mask, self.options.momentum)
            ids[query] = known.id if known is not None else self._begin(embedding, mask).id
        ended = tuple(track.id for track in self.living if track.gap > self.options.max_gap)
        self.living = [track for track in self.living if track.gap <= self.options.max_gap]
        return Assignment(ids, ended)

    def _begin(self, embedding: Floats, mask: Bools) -> LivingTrack:
        self.num_begun += 1
        track = LivingTrack(self.num_begun, embedding, mask)
        self.living.append(track)
        return track

    def state_dict(self) -> StateDict:
        """Return the living tracks as arrays."""
        tracks = self.living
        return {
            "num_begun": self.num_begun,
            "ids": np.array([track.id for track in tracks], np.int64),
            "num_visible": np.array([track.num_visible for track in tracks], np.int64),
            "gaps": np.array([track.gap for track in tracks], np.int64),
            "embeddings": np.array([track.embedding for track in tracks], np.float32),
            "masks": np.array([track.mask for track in tracks], np.bool_),
        }

    def load_state_dict(self, state: StateDict) -> None:
        """Resume from such arrays."""
        self.num_begun = state["num_begun"]
        columns = ("ids", "embeddings", "masks", "num_visible", "gaps")
        self.living = [
            LivingTrack(int(id_), embedding.copy(), mask.copy(), int(visible), int(gap))
            for id_, embedding, mask, visible, gap in zip(
                *(state[name] for name in columns), strict=True
            )
        ]


def visible_queries(frame: Detections, options: MemoryOptions) -> Ints:
    """Return the queries that show something, best score first, without duplicates: (D,)."""
    scores = frame.class_probabilities.max(axis=1)
    filled: Bools = np.asarray(frame.masks.any(axis=(1, 2)))
    order = np.argsort(-scores, kind="stable")
    candidates = order[(scores[order] >= options.min_score) & filled[order]]
    overlap = mask_iou(frame.masks[candidates], frame.masks[candidates])
    kept: list[int] = []
    for index in range(len(candidates)):
        if not np.any(overlap[index, kept] > options.duplicate_iou):
            kept.append(index)
    return candidates[kept].astype(np.int64)
