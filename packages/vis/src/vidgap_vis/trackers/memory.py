"""The living tracks of a video: what is remembered about them, and which detections are tracks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from vidgap_vis.trackers.base import NO_TRACK, Assignment, StateDict
from vidgap_vis.trackers.bits import MaskBits, Words, first_come
from vidgap_vis.trackers.detections import Detections, Floats, Ints


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
        words: its mask where last seen, a row of `MaskBits`.
        num_visible: frames that showed it.
        gap: frames since the last of them.
    """

    id: int
    embedding: Floats
    words: Words
    num_visible: int = 1
    gap: int = 0

    def update(self, embedding: Floats, words: Words, momentum: float) -> None:
        """Take a further frame that shows the track: unit vector (C,), a row of `MaskBits`."""
        self.num_visible += 1
        weight = max(1 / self.num_visible, 1 - momentum)
        self.embedding = self.embedding + np.float32(weight) * (embedding - self.embedding)
        self.words = words
        self.gap = 0


@dataclass
class Memory:
    """The living tracks of a video, oldest first, and how many have begun so far."""

    options: MemoryOptions
    living: list[LivingTrack] = field(default_factory=list)
    num_begun: int = 0

    def advance(
        self,
        units: Floats,
        queries: Ints,
        masks: MaskBits,
        tracks: Sequence[LivingTrack | None],
    ) -> Assignment:
        """Take one frame: tracks continue, begin and end.

        Args:
            units: (Q, C), the embeddings of all detections, scaled to length 1.
            queries: (D,), the visible ones, best score first.
            masks: D of them, theirs.
            tracks: (D,), the living track of each; None: it begins one.

        Returns:
            The track of each of the Q detections, and the tracks that have ended.
        """
        for track in self.living:
            track.gap += 1
        ids = np.full(len(units), NO_TRACK, np.int64)
        for query, row, known in zip(queries.tolist(), masks.words, tracks, strict=True):
            # Copies: a view would keep the masks of all queries alive with the track.
            embedding, words = units[query].copy(), row.copy()
            if known is not None:
                known.update(embedding, words, self.options.momentum)
            ids[query] = known.id if known is not None else self._begin(embedding, words).id
        ended = tuple(track.id for track in self.living if track.gap > self.options.max_gap)
        self.living = [track for track in self.living if track.gap <= self.options.max_gap]
        return Assignment(ids, ended)

    def _begin(self, embedding: Floats, words: Words) -> LivingTrack:
        self.num_begun += 1
        track = LivingTrack(self.num_begun, embedding, words)
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
            "words": np.array([track.words for track in tracks], np.uint64),
        }

    def load_state_dict(self, state: StateDict) -> None:
        """Resume from such arrays."""
        self.num_begun = int(state["num_begun"])
        columns = ("ids", "embeddings", "words", "num_visible", "gaps")
        self.living = [
            LivingTrack(int(id_), embedding.copy(), words.copy(), int(visible), int(gap))
            for id_, embedding, words, visible, gap in zip(
                *(state[name] for name in columns), strict=True
            )
        ]


def visible_queries(frame: Detections, options: MemoryOptions) -> tuple[Ints, MaskBits]:
    """Return the queries that show something, best score first, without duplicates.

    Returns:
        The queries (D,), and their D masks.
    """
    scores = frame.class_probabilities.max(axis=1)
    order = np.argsort(-scores, kind="stable")
    queries = order[scores[order] >= options.min_score]
    masks = MaskBits.of(frame.masks[queries])
    filled = masks.areas > 0
    queries, masks = queries[filled], masks[filled]
    kept = first_come(masks.iou(masks) > options.duplicate_iou)
    return queries[kept], masks[kept]
