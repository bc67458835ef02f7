"""What GenVIS learns by: clip after clip, a query keeps its instance (CVPR 2023, §3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from vidgap_segmenter import ClipCriterion, ClipTargets, Losses
from vidgap_segmenter.frame_targets import FrameTargets
from vidgap_segmenter.joint.matching import ClipMatching, Pairs, presence
from vidgap_segmenter.joint.prediction import JointPrediction
from vidgap_segmenter.losses import check_finite, mean_over_processes, stack_levels
from vidgap_segmenter.matcher import assign
from vidgap_segmenter.precision import at_least_float32, autocast_off
from vidgap_vis.trackers.vita.loss import (
    SimilarityInputs,
    check_joint,
    similarity_loss,
    total_of,
)

Bools = npt.NDArray[np.bool_]
Owned = npt.NDArray[np.int64]
"""The query of each instance of a video, (N,), -1 while it has none."""


@dataclass(frozen=True)
class UnifiedState:
    """Which query each instance has, after some clips.

    Attributes:
        queries: of each decoder layer, of each prediction l*B + b.
    """

    queries: tuple[tuple[Owned, ...], ...]


class UnifiedLoss(nn.Module):
    """Unified video label assignment, and the losses of clips in sequence.

    An instance that a clip shows for the first time is matched with a query that no other instance
    of the video has, and keeps it in all later clips. In a clip that does not show it its query
    learns "no instance". One that finds no free query waits for the next clip. Every decoder layer
    has an assignment of its own. Losses are computed in float32 whatever autocast says.

    Args:
        criterion: of clips, with the weights of losses and of matching costs.
        similarity_weight: of the similarity loss (`similarity_loss`).
        forget_absent: an instance that a clip does not show holds no query there, as in the
            release: a new one may take it, and both share it when the first returns.
    """

    def __init__(
        self,
        criterion: ClipCriterion,
        *,
        similarity_weight: float = 0.5,
        forget_absent: bool = False,
    ) -> None:
        super().__init__()
        self.criterion = criterion
        self.weights = {**criterion.weights, "similarity": similarity_weight}
        self.forget_absent = forget_absent

    def forward(
        self,
        clips: Sequence[Sequence[JointPrediction]],
        targets: Sequence[ClipTargets],
        padded_size: tuple[int, int],
        similarities: Sequence[SimilarityInputs] | None = None,
    ) -> Losses:
        """Compute the losses of a batch of videos.

        Args:
            clips: of each clip, its decoder layers as for `step`, T frames in all.
            targets: of the B videos, masks (N, T, H, W), on any device.
            padded_size: (H', W') that mask logits cover.
            similarities: of each clip, as for `step`.

        Returns:
            "class", "mask" and "dice", (layers,) each, and "similarity", (1,): sums over clips.

        Raises:
            ValueError: targets do not fit predictions.
            NonFiniteLoss: a cost or a loss is not finite.
        """
        lengths = [layers[0].mask_logits.shape[-3] for layers in clips]
        for index, video in enumerate(targets):
            if video.masks.shape[1] != sum(lengths):
                raise ValueError(
                    f"targets[{index}].masks must have {sum(lengths)} frames, those of all clips, "
                    f"got {video.masks.shape[1]}"
                )
        ends = np.cumsum(lengths).tolist()
        state, found = None, []
        for index, layers in enumerate(clips):
            own = slice(ends[index] - lengths[index], ends[index])
            shown = [replace(video, masks=video.masks[:, own]) for video in targets]
            similarity = None if similarities is None else similarities[index]
            parts, _, state = self.step(layers, shown, padded_size, state, similarity)
            found.append(parts)
        parts = {name: value.sum(0) for name, value in stack_levels(found).items()}
        losses = Losses(total_of(parts, self.weights), parts)
        check_finite(losses)
        return losses

    def step(
        self,
        layers: Sequence[JointPrediction],
        targets: Sequence[ClipTargets],
        padded_size: tuple[int, int],
        state: UnifiedState | None = None,
        similarity: SimilarityInputs | None = None,
    ) -> tuple[dict[str, Tensor], tuple[ClipMatching, ...], UnifiedState]:
        """Compute the losses of the next clip of each video.

        Args:
            layers: of each decoder layer, the last one first, (L, B, cQ, ...), the frame decoder's
                levels in front.
            targets: of the B videos: all their instances, with their masks in this clip.
            padded_size: (H', W') that mask logits cover.
            state: after the clip before; None at the first.
            similarity: of the last layer; None: without that loss.

        Returns:
            The parts as in `forward`, of this clip; the matching of each layer, prediction
            l*B + b; and the state after it.

        Raises:
            ValueError: targets do not fit predictions, or are not those of the clip before.
            NonFiniteLoss: a cost is not finite.
        """
        check_joint(layers, targets, self.criterion.num_classes, padded_size)
        device, num_levels = layers[0].mask_logits.device, len(layers[0].mask_logits)
        if state is None:
            none = tuple(np.full(len(clip), -1) for clip in targets) * num_levels
            state = UnifiedState((none,) * len(layers))
        self._check_state(state, len(layers), [len(clip) for clip in targets] * num_levels)
        with autocast_off(device):
            listed = FrameTargets.from_whole_clips(
                [clip.to(device) for clip in targets], padded_size, list_unseen=True
            )
            shown: list[Bools] = [np.asarray(clip.any(1)) for clip in presence(listed)]
            count = num_levels * int(sum(clip.sum() for clip in shown))
            num_masks = mean_over_processes(count, device).clamp(min=1)
            losses, matchings, queries = [], [], []
            for layer, before in zip(layers, state.queries, strict=True):
                class_logits = at_least_float32(layer.class_logits)
                mask_logits = at_least_float32(layer.mask_logits)
                tables = [
                    table
                    for level in zip(class_logits, mask_logits, strict=True)
                    for table in self.criterion.clip_costs(*level, listed).numpy()
                ]
                after = tuple(
                    self._assign(*own)
                    for own in zip(tables, shown * num_levels, before, strict=True)
                )
                pairs = [_pairs(*own) for own in zip(after, shown * num_levels, strict=True)]
                matching = ClipMatching.of(pairs, listed)
                flat = class_logits.flatten(0, 1), mask_logits.flatten(0, 1)
                losses.append(self.criterion.clip_losses(*flat, listed, matching, num_masks))
                matchings.append(matching)
                queries.append(after)
            parts = stack_levels(losses)
            if similarity is not None:
                parts["similarity"] = similarity_loss(similarity, matchings[0].tables())[None]
        return parts, tuple(matchings), UnifiedState(tuple(queries))

    def _assign(self, table: npt.NDArray[np.floating], shown: Bools, before: Owned) -> Owned:
        """Give the instances that are shown, (N,), and have no query, the cheapest free ones."""
        holding = (before >= 0) & (shown | (not self.forget_absent))
        free = np.setdiff1d(np.arange(len(table)), before[holding])
        after = before.copy()
        for query, instance in assign(table, free, np.flatnonzero(shown & (before < 0)).tolist()):
            after[instance] = query
        return after

    @staticmethod
    def _check_state(state: UnifiedState, num_layers: int, sizes: Sequence[int]) -> None:
        if len(state.queries) != num_layers:
            raise ValueError(
                f"state must be of {num_layers} layers as the clip, got {len(state.queries)}"
            )
        got = [len(own) for own in state.queries[0]]
        if got != list(sizes):
            raise ValueError(
                f"targets must list the instances of the clip before, {got}, got {list(sizes)}"
            )


def _pairs(queries: Owned, shown: Bools) -> Pairs:
    """Return the pairs of a clip, by instance."""
    there = np.flatnonzero(shown & (queries >= 0))
    return list(zip(queries[there].tolist(), there.tolist(), strict=True))
