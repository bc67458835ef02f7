"""DVIS online in the pipeline: the tracker as a head on a segmenter, and as a `Tracker`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from vidgap_segmenter import ClipOutput, HeadInputs, Prediction
from vidgap_segmenter.precision import at_least_float32
from vidgap_vis.trackers.base import (
    ClipTracks,
    Head,
    HeadState,
    Need,
    StateDict,
    VideoTracks,
    head_inputs_of,
    size_of,
)
from vidgap_vis.trackers.detections import Detections, Floats, Ints
from vidgap_vis.trackers.dvis.prediction import mask_logits
from vidgap_vis.trackers.dvis.results import best_pairs, online_scores
from vidgap_vis.trackers.dvis.tracker import ReferringState, ReferringTracker


class DVISHead(nn.Module):
    """A `Head` of DVIS's tracker: its classes, and its masks of the segmenter's mask features.

    Args:
        tracker: for the segmenter's channels.
    """

    def __init__(self, tracker: ReferringTracker) -> None:
        super().__init__()
        self.tracker = tracker

    def step(self, x: HeadInputs, state: HeadState | None) -> tuple[Prediction, HeadState]:
        """Take the next T frames (`ReferringTracker.step`, which raises what is wrong)."""
        before = None if state is None else ReferringState(**state)
        prediction, _, after = self.tracker.step(at_least_float32(x.queries[0]), before)
        embeddings = prediction.mask_embeddings.to(x.mask_features.dtype)
        masks = mask_logits(embeddings, x.mask_features)
        return (
            Prediction(prediction.class_logits, masks),
            {"outputs": after.outputs, "aligned": after.aligned},
        )


class DVISTracker:
    """Follow the Q queries of a head: each is a track from the first frame to the last.

    A track's class scores are the softmax of its mean class logits; masks do not count (DVIS's
    release). It holds the head's state and a sum of class logits, however long the video.

    Args:
        head: in eval mode; query i is track i + 1.
    """

    offline = False
    clip_frames = 1
    repeated = 0
    needs: frozenset[Need] = frozenset({"queries", "mask_features"})

    def __init__(self, head: Head) -> None:
        self.head = head
        self._state: HeadState | None = None
        self._sum: Tensor | None = None  # of class logits, (Q, K+1), float32 or more
        self._num_frames = 0

    @torch.no_grad()
    def step(self, clip: ClipOutput | Sequence[Detections], repeated: int = 0) -> ClipTracks:
        """Take the next T frames, each once.

        Raises:
            ValueError: frames are repeated, the clip is no network's output with `head_inputs`
                or is several clips, or the head refuses them.
        """
        inputs = head_inputs_of(clip, repeated)
        state = self._state and {n: t.to(inputs.queries.device) for n, t in self._state.items()}
        prediction, self._state = self.head.step(inputs, state)
        logits = at_least_float32(prediction.class_logits[0])  # (Q, T, K+1)
        sums = logits.cumsum(1)
        if self._sum is not None:
            sums = sums + self._sum.to(sums.device)[:, None]
        self._sum = sums[:, -1].clone()
        first, num_frames = self._num_frames, logits.shape[1]
        self._num_frames += num_frames
        seen = torch.arange(first + 1, self._num_frames + 1, device=sums.device)
        queries = np.arange(len(logits), dtype=np.int64)
        return ClipTracks(
            first,
            queries + 1,
            np.repeat(queries[:, None], num_frames, axis=1),
            online_scores(sums / seen[:, None]).float().cpu().numpy(),
            mask_logits=prediction.mask_logits[0],
        )

    def score_masks(self, ids: Ints, scores: Floats, areas: Ints) -> None:
        """Do nothing: DVIS ranks by classes alone."""

    def finish(self) -> VideoTracks:
        """Rank all pairs of a track and a class, best first; ties go to the lower label."""
        if self._sum is None:
            none = np.zeros(0, np.int64)
            return VideoTracks(none, none, np.zeros(0))
        scores = online_scores(self._sum / self._num_frames)
        best = best_pairs(scores, scores.numel())
        return VideoTracks(
            best.queries.cpu().numpy() + 1,
            best.labels.cpu().numpy(),
            best.scores.double().cpu().numpy(),
        )

    def state_dict(self) -> StateDict:
        tensors = dict(self._state or {})
        return {
            "num_frames": self._num_frames,
            "head": {name: _as_array(tensor) for name, tensor in tensors.items()},
            "sum": np.zeros((0, 0)) if self._sum is None else _as_array(self._sum),
        }

    def load_state_dict(self, state: StateDict) -> None:
        self._num_frames = int(state["num_frames"])
        started = self._num_frames > 0
        tensors = {name: torch.from_numpy(array.copy()) for name, array in state["head"].items()}
        self._state = tensors if started else None
        self._sum = torch.from_numpy(state["sum"].copy()) if started else None

    def state_size(self) -> int:
        return size_of(self.state_dict())


def _as_array(tensor: Tensor) -> np.ndarray:
    array: np.ndarray = at_least_float32(tensor).cpu().numpy()
    return array
