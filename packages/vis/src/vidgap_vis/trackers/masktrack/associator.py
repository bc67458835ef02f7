"""MaskTrack R-CNN's association: probability, score, overlap and class together (§4.3, eq. 3).

Everything is numpy on the CPU, in the dtype of the embeddings.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vidgap_vis.trackers.base import NO_TRACK, Assignment, Need, StateDict
from vidgap_vis.trackers.boxes import box_iou, boxes_of_masks, without_duplicate_boxes
from vidgap_vis.trackers.detections import Detections, Floats, Ints, check_finite
from vidgap_vis.trackers.masktrack.options import MaskTrackOptions

_COLUMNS = ("ids", "embeddings", "boxes", "labels", "last_visible")


class MaskTrackAssociator:
    """Let each detection continue the track that suits it best, or begin one.

    A detection that another one beats to its track is dropped. Where the network gives no boxes,
    they are those of the masks.

    Args:
        options: weights and the rest.
        embed: from the embeddings of queries, (N, C), to those of a track head (`TrackHead.embed`);
            None: those of the detections are the track head's already.
    """

    needs: frozenset[Need] = frozenset({"boxes"})

    def __init__(
        self,
        options: MaskTrackOptions | None = None,
        embed: Callable[[Floats], Floats] | None = None,
    ) -> None:
        self.options = options or MaskTrackOptions()
        self.embed = embed
        self._num_frames = 0
        self._num_begun = 0
        # Of M tracks, oldest first: (M,), (M, D), (M, 4), (M,), (M,).
        self._ids = np.zeros(0, np.int64)
        self._embeddings: Floats = np.zeros((0, 0), np.float32)
        self._boxes: Floats = np.zeros((0, 4), np.float32)
        self._labels = np.zeros(0, np.int64)
        self._last_visible = np.zeros(0, np.int64)

    def update(self, frame: Detections) -> Assignment:
        """Take the next frame; ValueError where an embedding is not finite."""
        check_finite(frame.embeddings)
        queries, boxes, labels = self._select(frame)
        embeddings = self._embedded(frame, queries)
        ids = np.full(len(frame.embeddings), NO_TRACK, np.int64)
        if len(queries):
            scores = self._scores(frame, queries, boxes, labels, embeddings)
            columns = scores.argmax(axis=1)  # 0: new
            winner: dict[int, int] = {}  # row of a track -> the best detection of it so far
            for one, column in enumerate(columns.tolist()):
                before = winner.get(column - 1)
                if column == 0:
                    continue
                if before is None or scores[one, column] > scores[before, column]:
                    winner[column - 1] = one
                    ids[queries[one]] = self._ids[column - 1]
                    if before is not None and not self.options.masktrack_compat:
                        ids[queries[before]] = NO_TRACK
            self._see(winner, boxes, labels, embeddings)
            new = np.flatnonzero(columns == 0)
            ids[queries[new]] = self._begin(boxes[new], labels[new], embeddings[new])
        ended = self._end()
        self._num_frames += 1
        return Assignment(ids, ended)

    def scores(self, frame: Detections) -> Floats:
        """Return how well each detection suits "new" and each track, (D, 1 + M), best first.

        With the probability among "new" and the M tracks that the embeddings give it:
        log(probability) + score_weight * log(score) + iou_weight * IoU + label_weight * [same].
        """
        queries, boxes, labels = self._select(frame)
        return self._scores(frame, queries, boxes, labels, self._embedded(frame, queries))

    def _scores(
        self, frame: Detections, queries: Ints, boxes: Floats, labels: Ints, embeddings: Floats
    ) -> Floats:
        options = self.options
        new = np.zeros((len(queries), 1), embeddings.dtype)
        known = embeddings @ self._embeddings.T if len(self._ids) else new[:, :0]
        logits = np.concatenate([new, known], axis=1)
        logits -= logits.max(axis=1, keepdims=True)
        logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        found = np.log(frame.class_probabilities[queries].max(axis=1))[:, None]
        overlap = box_iou(boxes, self._boxes, options.iou_offset)
        same = labels[:, None] == self._labels
        scores: Floats = logs + options.score_weight * found
        scores[:, 0] += options.label_weight
        scores[:, 1:] += options.iou_weight * overlap + options.label_weight * same
        return scores

    def _embedded(self, frame: Detections, queries: Ints) -> Floats:
        """Return the track head's embeddings of detections (D,), (D, C)."""
        embeddings = frame.embeddings[queries]
        return embeddings if self.embed is None else self.embed(embeddings)

    def _select(self, frame: Detections) -> tuple[Ints, Floats, Ints]:
        """Return the detections that are kept (D,), best first, their boxes and labels."""
        scores = frame.class_probabilities.max(axis=1)
        order = np.argsort(-scores, kind="stable")
        order = order[scores[order] > self.options.min_score]
        boxes = boxes_of_masks(frame.masks[order]) if frame.boxes is None else frame.boxes[order]
        labels = frame.class_probabilities[order].argmax(axis=1)
        kept = without_duplicate_boxes(boxes, labels, self.options.box_duplicate_iou)
        kept = kept[: self.options.max_detections]
        return order[kept], boxes[kept], labels[kept]

    def _see(self, winner: dict[int, int], boxes: Floats, labels: Ints, embeddings: Floats) -> None:
        """Let tracks, by their row, remember the detection that won them."""
        rows, won = np.array(list(winner), np.int64), np.array(list(winner.values()), np.int64)
        if len(rows) == 0:
            return
        self._boxes[rows], self._embeddings[rows] = boxes[won], embeddings[won]
        self._last_visible[rows] = self._num_frames
        if not self.options.masktrack_compat:
            self._labels[rows] = labels[won]

    def _begin(self, boxes: Floats, labels: Ints, embeddings: Floats) -> Ints:
        """Begin a track for each of some detections; return their ids."""
        ids = np.arange(self._num_begun + 1, self._num_begun + 1 + len(boxes))
        if len(ids) == 0:
            return ids
        self._num_begun += len(ids)
        times = np.full(len(ids), self._num_frames)
        for name, new in zip(_COLUMNS, (ids, embeddings, boxes, labels, times), strict=True):
            held = getattr(self, f"_{name}")
            setattr(self, f"_{name}", np.concatenate([held, new]) if len(held) else np.array(new))
        return ids

    def _end(self) -> tuple[int, ...]:
        """Forget the tracks that have not been seen for too long; return their ids."""
        kept = self._num_frames - self._last_visible <= self.options.max_gap
        ended = tuple(self._ids[~kept].tolist())
        if ended:
            for name in _COLUMNS:
                setattr(self, f"_{name}", getattr(self, f"_{name}")[kept])
        return ended

    def state_dict(self) -> StateDict:
        """Return the memories of the living tracks."""
        arrays = {name: getattr(self, f"_{name}").copy() for name in _COLUMNS}
        return {"num_frames": self._num_frames, "num_begun": self._num_begun, **arrays}

    def load_state_dict(self, state: StateDict) -> None:
        """Take them back."""
        self._num_frames, self._num_begun = int(state["num_frames"]), int(state["num_begun"])
        for name in _COLUMNS:
            setattr(self, f"_{name}", state[name].copy())
