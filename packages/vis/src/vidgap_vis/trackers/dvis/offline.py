"""DVIS offline as a `Tracker`: slots of the whole video first, then their masks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vidgap_segmenter import HeadInputs
from vidgap_segmenter.precision import at_least_float32
from vidgap_vis.trackers.base import Need, StateDict, VideoTracks
from vidgap_vis.trackers.detections import Floats, Ints
from vidgap_vis.trackers.dvis.head import DVIS
from vidgap_vis.trackers.dvis.prediction import mask_logits
from vidgap_vis.trackers.dvis.results import best_pairs, offline_scores
from vidgap_vis.trackers.dvis.tracker import ReferringState
from vidgap_vis.trackers.offline import OfflineTracker


class DVISOfflineTracker(OfflineTracker):
    """Follow the slots of the tracker, corrected by the refiner when all frames are there.

    It keeps the tracker's queries and each frame's own, 2 * Q * C numbers a frame, and in the
    second pass the refiner's mask embeddings, Q * C: 204,800 and 102,400 bytes for 100 queries of
    256 in float32.

    Args:
        head: in eval mode, with a refiner.
        top_k: as `OfflineTracker`'s; 10 on YouTube-VIS and 20 on OVIS in the release.
        class_weights: as `OfflineTracker`'s.

    Raises:
        ValueError: the head has no refiner.
    """

    needs: frozenset[Need] = frozenset({"queries", "mask_features"})

    def __init__(self, head: DVIS, top_k: int = 10, class_weights: Floats | None = None) -> None:
        if head.refiner is None:
            raise ValueError("head must have a refiner, got an online model's")
        super().__init__(head.tracker.config["num_classes"], top_k, class_weights)
        self.tracker = head.tracker
        self.refiner = head.refiner
        self._state: ReferringState | None = None
        self._sum: Tensor | None = None  # of the tracker's class logits, (Q, K+1)
        self._refined: tuple[npt.NDArray[np.floating], Tensor] | None = None

    def score_masks(self, ids: Ints, scores: Floats, areas: Ints) -> None:
        """Do nothing: DVIS ranks by classes alone."""

    def _keep(self, inputs: HeadInputs) -> Tensor:
        queries = inputs.queries[0].to(self.refiner.activation_proj.weight.dtype)
        prediction, _, self._state = self.tracker.step(queries, self._state)
        logits = at_least_float32(prediction.class_logits[0]).sum(1)
        self._sum = logits if self._sum is None else self._sum + logits
        frames = self.tracker.frame_forward(queries)
        both = torch.stack([at_least_float32(prediction.queries), at_least_float32(frames)])
        return both[:, 0].permute(2, 0, 1, 3)  # (T, 2, Q, C)

    def _forget(self) -> None:
        self._refined = None

    def _class_scores(self) -> npt.NDArray[np.floating]:
        return self._video()[0]

    def _mask_logits(self, queries: Tensor, inputs: HeadInputs) -> Tensor:
        maps = inputs.mask_features  # (1, T, C, h, w)
        times = slice(self._num_masked, self._num_masked + maps.shape[1])
        embeddings = self._video()[1][queries, times].to(maps.device)
        return mask_logits(embeddings[None].to(maps.dtype), maps)[0]

    def _best(self) -> VideoTracks:
        best = best_pairs(torch.from_numpy(self._scores()), self.top_k)
        return VideoTracks(
            best.queries.numpy() + 1, best.labels.numpy(), best.scores.double().numpy()
        )

    def _ranked(self) -> VideoTracks:
        return self._best()

    @torch.no_grad()
    def _video(self) -> tuple[npt.NDArray[np.floating], Tensor]:
        """Refine the whole video, once: scores (Q, K), mask embeddings (Q, T, C) on the CPU."""
        if self._refined is None:
            assert self._sum is not None
            like = self.refiner.activation_proj.weight
            queries, frames = self._frames().to(like).permute(1, 2, 0, 3)[:, None]  # (1, Q, T, C)
            found = self.refiner(queries, frames)
            logits = at_least_float32(found.class_logits[0, :, 0])
            scores = offline_scores((self._sum / self._num_frames).to(logits), logits)
            self._refined = (scores.cpu().numpy(), found.mask_embeddings[0].cpu())
        return self._refined

    def state_dict(self) -> StateDict:
        state = super().state_dict()
        if self._state is not None and self._sum is not None:
            held = {"sum": self._sum, "outputs": self._state.outputs}
            held |= {"aligned": self._state.aligned}
            state["head"] = {n: at_least_float32(t).cpu().numpy() for n, t in held.items()}
        return state

    def load_state_dict(self, state: StateDict) -> None:
        super().load_state_dict(state)
        like = self.refiner.activation_proj.weight
        held = {n: torch.from_numpy(a.copy()).to(like) for n, a in state.get("head", {}).items()}
        self._sum = held.pop("sum", None)
        self._state = ReferringState(**held) if held else None
