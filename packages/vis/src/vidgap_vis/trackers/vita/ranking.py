"""What the trackers of VITA and GenVIS share: the queries they read, and how they rank."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import Tensor

from vidgap_segmenter import HeadInputs
from vidgap_segmenter.precision import at_least_float32
from vidgap_vis.trackers.base import StateDict, VideoTracks
from vidgap_vis.trackers.detections import Floats, Ints


def frame_queries_of(inputs: HeadInputs) -> Tensor:
    """Return the last level's queries as VITA takes them, (B, T, fQ, C), float32 or more."""
    return at_least_float32(inputs.queries[0].transpose(1, 2))


class MaskSums:
    """How sure the masks of each query are: the mean of their probabilities over all pixels.

    Args:
        num_queries: cQ; query i is track i + 1.
    """

    def __init__(self, num_queries: int) -> None:
        self._inside = np.zeros(num_queries)
        self._pixels = np.zeros(num_queries)
        self._given = False

    def add(self, ids: Ints, scores: Floats, areas: Ints) -> None:
        """Take mask scores (N,) and areas (N,) of tracks (N,) in a frame."""
        self._given = True
        self._inside[ids - 1] += scores.astype(np.float64) * areas
        self._pixels[ids - 1] += areas

    def rank(self, probabilities: npt.NDArray[np.floating], top_k: int) -> VideoTracks:
        """Rank pairs of a query and a class.

        Args:
            probabilities: (cQ, K).
            top_k: pairs, chosen by them alone, as in the release.

        Returns:
            The pairs by class probability times mask score (1 for all, if none was given); of equal
            ones, the lower label first.
        """
        chosen = np.argsort(-probabilities, axis=None, kind="stable")[:top_k]
        queries, labels = np.unravel_index(chosen, probabilities.shape)
        scores = probabilities[queries, labels].astype(np.float64)
        if self._given:
            scores = scores * self._inside[queries] / (self._pixels[queries] + 1e-6)
        order = np.lexsort((labels, -scores))
        return VideoTracks(
            queries[order].astype(np.int64) + 1, labels[order].astype(np.int64), scores[order]
        )

    def state_dict(self) -> StateDict:
        return {
            "inside": self._inside.copy(),
            "pixels": self._pixels.copy(),
            "given": self._given,
        }

    def load_state_dict(self, state: StateDict) -> None:
        self._inside, self._pixels = state["inside"].copy(), state["pixels"].copy()
        self._given = bool(state["given"])
