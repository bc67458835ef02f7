"""CTVIS's tracker: bi-softmax similarity to memories, taken greedily (`simple_tracker.py`).

Everything is numpy on the CPU, in the dtype of the embeddings. What is kept does not grow with the
video.
"""

from __future__ import annotations

import numpy as np

from vidgap_vis.trackers.base import NO_TRACK, Assignment, Need, StateDict
from vidgap_vis.trackers.ctvis.bank import TrackBank
from vidgap_vis.trackers.ctvis.options import CTVISOptions
from vidgap_vis.trackers.detections import (
    Bools,
    Detections,
    Floats,
    Ints,
    without_duplicates,
)


class CTVISAssociator:
    """Assign detections to tracks by their embeddings alone.

    Args:
        options: thresholds and the rest.
    """

    needs: frozenset[Need] = frozenset()

    def __init__(self, options: CTVISOptions | None = None) -> None:
        self.options = options or CTVISOptions()
        self._bank = TrackBank(self.options)
        self._num_frames = 0

    def update(self, frame: Detections) -> Assignment:
        """Take the next frame."""
        queries, scores = self._select(frame)
        embeddings = frame.embeddings[queries]
        rows = self._match(embeddings)
        known = np.flatnonzero(rows >= 0)
        begun = np.flatnonzero((rows < 0) & (scores > self.options.new_track_score))
        ids = np.full(len(frame.embeddings), NO_TRACK, np.int64)
        ids[queries[known]] = self._bank.tracks.ids[rows[known]]
        self._bank.see(rows[known], embeddings[known], self._num_frames)
        ids[queries[begun]] = self._bank.begin(embeddings[begun], self._num_frames)
        retracted = self._bank.retract(self._num_frames)
        ended = self._bank.end(self._num_frames)
        self._num_frames += 1
        return Assignment(ids, ended, retracted)

    def _select(self, frame: Detections) -> tuple[Ints, Floats]:
        """Return the detections that are not dropped, best first, and their scores."""
        scores = frame.class_probabilities.max(axis=1)
        order = np.argsort(-scores, kind="stable")
        order = order[: max(1, int((scores > self.options.min_score).sum()))]
        order = order[without_duplicates(frame.masks[order], self.options.duplicate_iou)]
        return order, scores[order]

    def _match(self, embeddings: Floats) -> Ints:
        """Return the row of each detection's track, the best detection first, -1 for none: (D,)."""
        rows = np.full(len(embeddings), -1, np.int64)
        tracks = self._bank.tracks
        if len(tracks.ids) == 0 or len(embeddings) == 0:
            return rows
        dots = embeddings @ tracks.memory.T  # (D, M)
        similarity = (softmax(dots, 1) + softmax(dots, 0)) / embeddings.dtype.type(2)
        best, above = self._best(similarity)
        taken = np.zeros(len(tracks.ids), np.bool_)
        for detection in range(len(embeddings)):
            column, matches = best[detection], above[detection]
            if taken[column]:  # another detection was better; what is left may do
                left = similarity[[detection]]
                left[:, taken] = 0
                (column,), (matches,) = self._best(left)
            if matches:
                rows[detection] = column
                taken[column] = True
        return rows

    def _best(self, similarity: Floats) -> tuple[Ints, Bools]:
        """Return the best track (D,) of each row (D, M), and whether it is above the threshold."""
        above = similarity > self.options.match_threshold
        values = similarity
        if self.options.frame_weight:
            # A track that is not above cannot win by its weight: those that are weigh 1 or more.
            weighted = similarity * self._bank.tracks.num_visible * above
            values = np.where(above.sum(axis=1, keepdims=True) > 1, weighted, similarity)
        best = values.argmax(axis=1)
        return best, above[np.arange(len(best)), best]

    def state_dict(self) -> StateDict:
        """Return the memories of the living tracks."""
        return {"num_frames": self._num_frames, "bank": self._bank.state_dict()}

    def load_state_dict(self, state: StateDict) -> None:
        """Take them back."""
        self._num_frames = int(state["num_frames"])
        self._bank.load_state_dict(state["bank"])


def softmax(values: Floats, axis: int) -> Floats:
    """Return the softmax of a matrix along an axis."""
    powers = np.exp(values - values.max(axis=axis, keepdims=True))
    result: Floats = powers / powers.sum(axis=axis, keepdims=True)
    return result
