"""IDOL's tracker: bi-softmax similarity to the mean of a few embeddings (§3.3 of the paper).

Everything is numpy on the CPU, in the dtype of the embeddings. What is kept does not grow with the
video.
"""

from __future__ import annotations

import numpy as np

from vidgap_vis.trackers.base import NO_TRACK, Assignment, Need, StateDict
from vidgap_vis.trackers.bisoftmax import bisoftmax, match_greedily
from vidgap_vis.trackers.bits import MaskBits, without_duplicates
from vidgap_vis.trackers.boxes import boxes_of_masks, without_duplicate_boxes
from vidgap_vis.trackers.detections import Detections, Floats, Ints, check_finite
from vidgap_vis.trackers.idol.memory import RecentMemory
from vidgap_vis.trackers.idol.options import IDOLOptions
from vidgap_vis.trackers.lifetimes import Lifetimes

MASK_EPSILON = 1e-6
"""What the release adds to intersections and unions of masks, in pixels."""


class IDOLAssociator:
    """Assign detections to tracks by their embeddings alone.

    A detection's score is its best class probability, its label that class. Where the network gives
    no boxes, they are those of the masks.

    Args:
        options: thresholds and the rest.
    """

    needs: frozenset[Need] = frozenset({"boxes"})

    def __init__(self, options: IDOLOptions | None = None) -> None:
        self.options = options or IDOLOptions()
        self._lives = Lifetimes(self.options)
        self._memory = RecentMemory(self.options.memory_size)
        self._num_frames = 0

    def update(self, frame: Detections) -> Assignment:
        """Take the next frame; ValueError where an embedding is not finite."""
        check_finite(frame.embeddings)
        time, options, lives = self._num_frames, self.options, self._lives
        queries, scores = self._select(frame)
        embeddings = frame.embeddings[queries]
        rows = self._match(embeddings)
        least = options.new_track_score if len(lives.ids) else options.first_track_score
        known = np.flatnonzero(rows >= 0)
        begun = np.flatnonzero((rows < 0) & (scores > least))
        ids = np.full(len(frame.embeddings), NO_TRACK, np.int64)
        ids[queries[known]] = lives.ids[rows[known]]
        lives.see(rows[known], time)
        self._memory.see(rows[known], embeddings[known], scores[known])
        ids[queries[begun]] = lives.begin(len(begun), time)
        self._memory.begin(embeddings[begun], scores[begun])
        retracted = lives.retract(time)
        ended, kept = lives.end(time)
        if ended:
            self._memory.keep(kept)
        self._num_frames += 1
        return Assignment(ids, ended, retracted)

    def _select(self, frame: Detections) -> tuple[Ints, Floats]:
        """Return the detections that are not dropped, best first, and their scores."""
        scores = frame.class_probabilities.max(axis=1)
        order = np.argsort(-scores, kind="stable")
        order = order[: max(1, int((scores > self.options.min_score).sum()))]
        masks = frame.masks[order]
        boxes = boxes_of_masks(masks) if frame.boxes is None else frame.boxes[order]
        labels = frame.class_probabilities[order].argmax(axis=1)
        kept = without_duplicate_boxes(boxes, labels, self.options.box_duplicate_iou)
        order, bits = order[kept], MaskBits.of(masks[kept])
        order = order[without_duplicates(bits, self.options.duplicate_iou, MASK_EPSILON)]
        return order, scores[order]

    def _match(self, embeddings: Floats) -> Ints:
        """Return the row of each detection's track, the best detection first, -1 for none: (D,)."""
        if len(self._lives.ids) == 0 or len(embeddings) == 0:
            return np.full(len(embeddings), -1, np.int64)
        similarity = bisoftmax(embeddings, self._memory.means)
        weights = self._lives.num_visible if self.options.frame_weight else None
        return match_greedily(similarity, self.options.match_threshold, weights)

    def state_dict(self) -> StateDict:
        """Return the memories of the living tracks."""
        return {
            "num_frames": self._num_frames,
            "lives": self._lives.state_dict(),
            "memory": self._memory.state_dict(),
        }

    def load_state_dict(self, state: StateDict) -> None:
        """Take them back."""
        self._num_frames = int(state["num_frames"])
        self._lives.load_state_dict(state["lives"])
        self._memory.load_state_dict(state["memory"])
