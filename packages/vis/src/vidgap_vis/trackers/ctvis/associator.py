"""CTVIS's tracker: bi-softmax similarity to memories, taken greedily (`simple_tracker.py`).

Everything is numpy on the CPU, in the dtype of the embeddings. What is kept does not grow with the
video.
"""

from __future__ import annotations

import numpy as np

from vidgap_vis.trackers.base import NO_TRACK, Assignment, Need, StateDict
from vidgap_vis.trackers.bisoftmax import bisoftmax, match_greedily
from vidgap_vis.trackers.bits import MaskBits, without_duplicates
from vidgap_vis.trackers.ctvis.bank import TrackBank
from vidgap_vis.trackers.ctvis.options import CTVISOptions
from vidgap_vis.trackers.detections import Detections, Floats, Ints


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
        ids[queries[known]] = self._bank.lives.ids[rows[known]]
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
        masks = MaskBits.of(frame.masks[order])
        order = order[without_duplicates(masks, self.options.duplicate_iou)]
        return order, scores[order]

    def _match(self, embeddings: Floats) -> Ints:
        """Return the row of each detection's track, the best detection first, -1 for none: (D,)."""
        bank, options = self._bank, self.options
        if len(bank.lives.ids) == 0 or len(embeddings) == 0:
            return np.full(len(embeddings), -1, np.int64)
        similarity = bisoftmax(embeddings, bank.memory)
        weights = bank.lives.num_visible if options.frame_weight else None
        return match_greedily(similarity, options.match_threshold, weights)

    def state_dict(self) -> StateDict:
        """Return the memories of the living tracks."""
        return {"num_frames": self._num_frames, "bank": self._bank.state_dict()}

    def load_state_dict(self, state: StateDict) -> None:
        """Take them back."""
        self._num_frames = int(state["num_frames"])
        self._bank.load_state_dict(state["bank"])
