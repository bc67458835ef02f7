"""Mask2Former's loss: set prediction with every decoder level supervised (Mask2Former §3.3)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidgap_segmenter.frame_targets import FrameTargets, Matching
from vidgap_segmenter.losses import (
    Losses,
    check_finite,
    check_output,
    mean_over_processes,
    stack_levels,
    weighted_total,
)
from vidgap_segmenter.matcher import mask_costs, match, softmax_cost
from vidgap_segmenter.point_losses import PointLosses
from vidgap_segmenter.points import Sampler, uniform
from vidgap_segmenter.precision import at_least_float32, autocast_off
from vidgap_segmenter.structures import ClipOutput, Prediction, by_frame
from vidgap_segmenter.targets import ClipTargets

if TYPE_CHECKING:
    from typing_extensions import Self


class SetCriterion(nn.Module, ABC):
    """Match queries with instances in every level, and sum class, mask and dice losses.

    A subclass says which instances there are to match, and how they are matched. Losses are
    computed in float32 whatever autocast says.

    Args:
        num_classes: K.
        num_points: points on which masks are compared.
        oversample: candidates drawn for each point that is chosen for its uncertainty.
        importance: share of the points that are chosen for their uncertainty.
        class_weight: weight of the class part, in matching cost and loss.
        mask_weight: weight of the mask part.
        dice_weight: weight of the dice part.
        no_instance_weight: weight of class K in the cross entropy.
        sampler: draws the points.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        num_points: int = 12544,
        oversample: float = 3.0,
        importance: float = 0.75,
        class_weight: float = 2.0,
        mask_weight: float = 5.0,
        dice_weight: float = 5.0,
        no_instance_weight: float = 0.1,
        sampler: Sampler = uniform,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.point_losses = PointLosses(num_points, oversample, importance, sampler)
        self.weights = {"class": class_weight, "mask": mask_weight, "dice": dice_weight}
        self.no_instance_weight = no_instance_weight

    def forward(self, output: ClipOutput, targets: Sequence[ClipTargets]) -> Losses:
        """Compute the losses of a batch of clips.

        Args:
            output: predictions for B clips of T frames.
            targets: the instances of each clip, on any device, masks at the size of the frames
                given to the model.

        Returns:
            Losses and matchings of every level; `total` is the weighted sum of all.

        Raises:
            ValueError: targets do not fit the output.
            NonFiniteLoss: a cost or a loss is not finite.
        """
        check_output(output, targets, self.num_classes, independent_classes=False)
        device = output.mask_logits.device
        with autocast_off(device):
            frame_targets, count = self._list(
                [clip.to(device) for clip in targets], output.padded_size
            )
            num_masks = mean_over_processes(count, device).clamp(min=1)
            levels, matchings = [], []
            for level in output.levels:
                class_logits = at_least_float32(by_frame(level.class_logits))
                mask_logits = at_least_float32(by_frame(level.mask_logits))
                matching = self.match_frames(class_logits, mask_logits, frame_targets)
                found = self.frame_losses(
                    class_logits, mask_logits, frame_targets, matching, num_masks
                )
                levels.append(found | self._box_losses(level, frame_targets, matching))
                matchings.append(matching)
            parts = stack_levels(levels)
            losses = Losses(weighted_total(parts, self.weights), parts, tuple(matchings))
        check_finite(losses)
        return losses

    @abstractmethod
    def _list(
        self, clips: Sequence[ClipTargets], padded_size: tuple[int, int]
    ) -> tuple[FrameTargets, int]:
        """List what is matched in the B*T frames, and say by how many mask losses are divided."""

    @abstractmethod
    def match_frames(
        self, class_logits: Tensor, mask_logits: Tensor, targets: FrameTargets
    ) -> Matching:
        """Match queries of frames, class logits (B*T, Q, K+1) and mask logits (B*T, Q, h, w)."""

    def _box_losses(
        self,
        level: Prediction,  # noqa: ARG002 (no boxes here)
        targets: FrameTargets,  # noqa: ARG002 (likewise)
        matching: Matching,  # noqa: ARG002 (likewise)
    ) -> dict[str, Tensor]:
        """Return losses of a level's boxes by name, for networks that have them."""
        return {}

    def frame_losses(
        self,
        class_logits: Tensor,
        mask_logits: Tensor,
        targets: FrameTargets,
        matching: Matching,
        num_masks: Tensor,
    ) -> dict[str, Tensor]:
        """Return the class, mask and dice losses of one level, unweighted scalars, by name.

        Args:
            class_logits: (B*T, Q, K+1).
            mask_logits: (B*T, Q, h, w).
            targets: of the B*T frames.
            matching: which query is which of them.
            num_masks: what the sums over masks are divided by, a scalar.
        """
        wanted = matching.queries.new_full(class_logits.shape[:2], self.num_classes)
        wanted[matching.frames, matching.queries] = targets.labels[matching.rows]
        mask, dice = self.point_losses(mask_logits, targets, matching)
        classes = self.class_loss(class_logits, wanted)
        return {"class": classes, "mask": mask / num_masks, "dice": dice / num_masks}

    def class_loss(self, class_logits: Tensor, wanted: Tensor) -> Tensor:
        """Return the weighted mean of the cross entropy over all queries.

        Args:
            class_logits: (B, Q, K+1).
            wanted: the class of each query, K for none, (B, Q), int64.
        """
        weight = class_logits.new_ones(self.num_classes + 1)
        weight[-1] = self.no_instance_weight
        return F.cross_entropy(class_logits.flatten(0, 1), wanted.flatten(), weight=weight)

    def with_points(self, num_points: int) -> Self:
        """Return a criterion of the same settings that compares masks on `num_points` points."""
        other = copy(self)
        other.point_losses = replace(self.point_losses, num_points=num_points)
        return other


class Criterion(SetCriterion):
    """Match and compare frame by frame, as independent images (see `SetCriterion`).

    An instance counts in the frames where its mask has a pixel.
    """

    def match(self, output: ClipOutput, targets: FrameTargets) -> Matching:
        """Match the queries of the last level with instances, without any loss.

        Args:
            output: predictions for B clips of T frames.
            targets: of the B*T frames; where they list absent instances, these have label K.
        """
        with autocast_off(output.mask_logits.device):
            class_logits = at_least_float32(by_frame(output.class_logits))
            return self.match_frames(
                class_logits, at_least_float32(by_frame(output.mask_logits)), targets
            )

    def _list(
        self, clips: Sequence[ClipTargets], padded_size: tuple[int, int]
    ) -> tuple[FrameTargets, int]:
        targets = FrameTargets.from_clips(clips, padded_size)
        return targets, len(targets.labels)

    def match_frames(
        self, class_logits: Tensor, mask_logits: Tensor, targets: FrameTargets
    ) -> Matching:
        """Match the queries of each frame, (B*T, Q, K+1) and (B*T, Q, h, w), with its instances."""
        return match(self.costs(class_logits, mask_logits, targets), self.weights, targets)

    @torch.no_grad()
    def costs(
        self, class_logits: Tensor, mask_logits: Tensor, targets: FrameTargets
    ) -> dict[str, Tensor]:
        """Return the costs of every query with every instance of its frame, unweighted, by name.

        Args:
            class_logits: (B*T, Q, K+1).
            mask_logits: (B*T, Q, h, w).
            targets: of the B*T frames, at most n in one.

        Returns:
            "class", "mask" and "dice", (B*T, Q, n).
        """
        points = self.point_losses.for_matching(len(targets.counts), mask_logits.device)
        mask, dice = mask_costs(mask_logits, targets, points)
        return {"class": softmax_cost(class_logits, targets), "mask": mask, "dice": dice}
