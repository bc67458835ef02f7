"""What IDOL remembers of a track's look: its last embeddings, and their weighted mean."""

from __future__ import annotations

import numpy as np

from vidgap_vis.trackers.base import StateDict
from vidgap_vis.trackers.detections import Bools, Floats, Ints

_COLUMNS = ("recent", "scores", "counts", "means")


class RecentMemory:
    """The memories of M tracks, a row each.

    A mean's weights are the scores of the embeddings, plus 1/n, 2/n, ..., 1 from the oldest of the
    n to the newest.

    Attributes:
        recent: (M, S, C), the last S embeddings, a ring; 0 where there are fewer.
        scores: (M, S), of the detections that they were.
        counts: (M,) int64, how many there have been.
        means: (M, C), what detections are compared with.

    Args:
        size: S.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.recent: Floats = np.zeros((0, size, 0), np.float32)
        self.scores: Floats = np.zeros((0, size), np.float32)
        self.counts: Ints = np.zeros(0, np.int64)
        self.means: Floats = np.zeros((0, 0), np.float32)

    def see(self, rows: Ints, embeddings: Floats, scores: Floats) -> None:
        """Let the tracks of rows (R,) take embeddings (R, C) and scores (R,) of a frame."""
        if len(rows) == 0:
            return
        slots = self.counts[rows] % self.size
        self.recent[rows, slots], self.scores[rows, slots] = embeddings, scores
        self.counts[rows] += 1
        held = np.minimum(self.counts[rows], self.size)[:, None]
        ages = (slots[:, None] - np.arange(self.size)) % self.size  # 0 of the newest
        places = held - ages  # (R, S); 1 of the oldest, below it nothing is held
        weights = self.scores[rows] + places / held
        weights = np.where(places > 0, weights, 0).astype(embeddings.dtype)
        weights /= weights.sum(axis=1, keepdims=True)
        self.means[rows] = (weights[:, None] @ self.recent[rows])[:, 0]

    def begin(self, embeddings: Floats, scores: Floats) -> None:
        """Add a row for each of embeddings (R, C) with scores (R,)."""
        num, channels = embeddings.shape
        if num == 0:
            return
        recent = np.zeros((num, self.size, channels), embeddings.dtype)
        recent[:, 0] = embeddings
        columns = np.zeros((num, self.size), scores.dtype)
        columns[:, 0] = scores
        new = (recent, columns, np.ones(num, np.int64), embeddings.copy())
        for name, rows in zip(_COLUMNS, new, strict=True):
            held = getattr(self, name)
            setattr(self, name, np.concatenate([held, rows]) if len(held) else rows)

    def keep(self, rows: Bools) -> None:
        """Forget all rows but some, by a mask (M,)."""
        for name in _COLUMNS:
            setattr(self, name, getattr(self, name)[rows])

    def state_dict(self) -> StateDict:
        """Return all arrays."""
        return {name: getattr(self, name).copy() for name in _COLUMNS}

    def load_state_dict(self, state: StateDict) -> None:
        """Take them back."""
        for name in _COLUMNS:
            setattr(self, name, state[name].copy())
