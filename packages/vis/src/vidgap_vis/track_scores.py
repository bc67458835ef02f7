"""How good a track is: the score that the results of a video list for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vidgap_vis.tracking import Floats, Ints


@dataclass(frozen=True)
class ScoredTrack:
    """One line of a video's results: a track taken for one class."""

    track_id: int
    label: int
    score: float


class TrackScores:
    """Scores of a video's tracks: mean class probability x mean mask score.

    The class probability is averaged over all frames of the video, being 0 where the track is not
    visible, so that fragments rank below tracks that hold (as in MinVIS); the mask score over the
    frames in which it is. A track may be listed for several classes, as the benchmarks do. Holds
    K numbers a track.

    Args:
        top_k: how many pairs of track and class a video lists.
        min_score: pairs below it are not listed.
    """

    def __init__(self, top_k: int = 20, min_score: float = 0.01) -> None:
        if top_k < 1:
            raise ValueError(f"top_k must be at least 1, got {top_k}")
        self.top_k = top_k
        self.min_score = min_score
        self._class_scores: dict[int, Floats] = {}
        self._mask_scores: dict[int, list[float]] = {}  # [sum, number of frames]

    def add(self, track_ids: Ints, class_scores: Floats, mask_scores: Floats) -> None:
        """Take the visible tracks of the next frame.

        Args:
            track_ids: (N,).
            class_scores: (N, K), averaged over each track's visible frames up to this one.
            mask_scores: (N,), of this frame.
        """
        for index, track_id in enumerate(track_ids.tolist()):
            self._class_scores[track_id] = class_scores[index].copy()
            total = self._mask_scores.setdefault(track_id, [0.0, 0.0])
            total[0] += float(mask_scores[index])
            total[1] += 1

    def ranking(self, num_frames: int) -> list[ScoredTrack]:
        """Return the best pairs of track and class, best first; of equal ones the older track.

        Args:
            num_frames: of the whole video.
        """
        if not self._class_scores:
            return []
        ids = np.array(sorted(self._class_scores))
        # Mean mask score times the share of frames: the number of visible ones cancels.
        factors = np.array([self._mask_scores[i][0] / num_frames for i in ids])
        scores = np.stack([self._class_scores[i] for i in ids]) * factors[:, None]  # (N, K)
        best = np.argsort(-scores, axis=None, kind="stable")[: self.top_k]
        rows, labels = np.unravel_index(best, scores.shape)
        return [
            ScoredTrack(int(ids[row]), int(label), float(scores[row, label]))
            for row, label in zip(rows, labels, strict=True)
            if scores[row, label] >= self.min_score
        ]
