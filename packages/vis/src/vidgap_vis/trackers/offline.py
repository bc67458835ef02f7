"""Trackers that see all of a video before they show a frame of it: two passes over the frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vidgap_segmenter import ClipOutput, HeadInputs
from vidgap_segmenter.precision import at_least_float32
from vidgap_vis.trackers.base import (
    ClipTracks,
    Need,
    StateDict,
    VideoTracks,
    head_inputs_of,
)
from vidgap_vis.trackers.detections import Detections, Floats, Ints


class OfflineTracker(ABC):
    """Keep the queries of all frames, not their masks.

    `step` takes all frames; then `masks` takes them once more, any number at a time, and returns
    the tracks; `finish` ranks them. The index of a query is the identity: query i is track i + 1.

    Args:
        num_classes: K.
        top_k: pairs of a query and a class, the best by class score, that the result has; masks are
            made of their queries only.
        class_weights: (K,), 0 for classes that are not looked for, else 1; None: all are.
    """

    offline = True
    clip_frames = 1
    repeated = 0
    needs: frozenset[Need]

    def __init__(self, num_classes: int, top_k: int, class_weights: Floats | None) -> None:
        if top_k < 1:
            raise ValueError(f"top_k must be at least 1, got {top_k}")
        self.num_classes = num_classes
        self.top_k = top_k
        self.class_weights = class_weights
        self._kept: list[Tensor] = []  # (T, ...) of each step, on the CPU
        self._num_frames = 0
        self._num_masked = 0

    @torch.no_grad()
    def step(self, clip: ClipOutput | Sequence[Detections], repeated: int = 0) -> ClipTracks:
        """Take the next T frames, each once; no track is known yet, so none is returned.

        Raises:
            ValueError: frames are repeated, the clip is no network's output with `head_inputs` or
                is several clips, or masks have been asked for already.
        """
        inputs = head_inputs_of(clip, repeated)
        if self._num_masked:
            raise ValueError(
                f"all frames must come before masks, got more after {self._num_masked}"
            )
        kept = at_least_float32(self._keep(inputs)).detach().cpu()
        self._kept.append(kept)
        self._forget()
        first, self._num_frames = self._num_frames, self._num_frames + len(kept)
        none = np.zeros((0, len(kept)), np.int64)
        return ClipTracks(
            first, none[:, 0], none, np.zeros((*none.shape, self.num_classes), np.float32)
        )

    @torch.no_grad()
    def masks(self, clip: ClipOutput | Sequence[Detections]) -> ClipTracks:
        """Take the next T frames once more, from the first; return their tracks and masks.

        Raises:
            ValueError: the clip is no network's output with `head_inputs` or is several clips, or
                these are more frames than `step` has taken.
        """
        inputs = head_inputs_of(clip, 0)
        num_frames = inputs.mask_features.shape[1]
        first, end = self._num_masked, self._num_masked + num_frames
        if end > self._num_frames:
            raise ValueError(f"clip must end by frame {self._num_frames}, got {end}")
        queries = np.unique(self._best().ids) - 1
        scores = self._scores()[queries].astype(np.float32)
        logits = self._mask_logits(torch.from_numpy(queries), inputs)
        self._num_masked = end
        return ClipTracks(
            first,
            queries + 1,
            np.repeat(queries[:, None], num_frames, axis=1),
            np.repeat(scores[:, None], num_frames, axis=1),
            mask_logits=logits,
        )

    @abstractmethod
    def score_masks(self, ids: Ints, scores: Floats, areas: Ints) -> None:
        """Take the mask scores (N,) and areas (N,) of tracks (N,) that the next frame shows."""

    def finish(self) -> VideoTracks:
        """Rank the best `top_k` pairs of a track and a class; ties go to the lower label."""
        if not self._num_frames:
            none = np.zeros(0, np.int64)
            return VideoTracks(none, none, np.zeros(0))
        return self._ranked()

    def _frames(self) -> Tensor:
        """Return what is kept of all frames, (T, ...)."""
        return torch.cat(self._kept)

    def _scores(self) -> npt.NDArray[np.floating]:
        """Return the class scores of the video, (Q, K), of the classes that are looked for."""
        scores = self._class_scores()
        return scores if self.class_weights is None else scores * self.class_weights

    @abstractmethod
    def _keep(self, inputs: HeadInputs) -> Tensor:
        """Return what is to be kept of T frames, (T, ...)."""

    @abstractmethod
    def _forget(self) -> None:
        """Drop what was made of all frames, as there are more."""

    @abstractmethod
    def _class_scores(self) -> npt.NDArray[np.floating]:
        """Return the class scores of the video, (Q, K)."""

    @abstractmethod
    def _mask_logits(self, queries: Tensor, inputs: HeadInputs) -> Tensor:
        """Return mask logits (N, T, h, w) of queries (N,) in T frames, from `_num_masked` on."""

    @abstractmethod
    def _best(self) -> VideoTracks:
        """Return the best pairs by class score alone."""

    @abstractmethod
    def _ranked(self) -> VideoTracks:
        """Return the best pairs in their final order."""

    def state_dict(self) -> StateDict:
        frames = self._frames().numpy() if self._kept else np.zeros(0)
        return {"frames": frames, "num_masked": self._num_masked}

    def load_state_dict(self, state: StateDict) -> None:
        self._num_frames = len(state["frames"])
        self._kept = [torch.from_numpy(state["frames"].copy())] if self._num_frames else []
        self._num_masked = int(state["num_masked"])
        self._forget()

    def state_size(self) -> int:
        return sum(part.nbytes for part in self._kept)
