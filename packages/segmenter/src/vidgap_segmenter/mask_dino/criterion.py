"""Mask DINO's loss: focal classes, masks and boxes of every level, and of denoising (§3.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchvision.ops import sigmoid_focal_loss

from vidgap_segmenter.frame_targets import FrameTargets, Matching
from vidgap_segmenter.losses import (
    Losses,
    box_losses,
    check_finite,
    check_output,
    mean_over_processes,
    stack_levels,
    weighted_total,
)
from vidgap_segmenter.mask_dino.denoising import Denoising
from vidgap_segmenter.mask_dino.output import MaskDINOOutput, Reconstruction
from vidgap_segmenter.matcher import box_costs, focal_cost, mask_costs, match
from vidgap_segmenter.point_losses import PointLosses
from vidgap_segmenter.points import Sampler, uniform
from vidgap_segmenter.precision import at_least_float32, autocast_off
from vidgap_segmenter.structures import Prediction, by_frame
from vidgap_segmenter.targets import ClipTargets

ALPHA, GAMMA = 0.25, 2.0
"""Of the focal loss."""


class MaskDINOCriterion(nn.Module):
    """Match queries with instances in every frame and level, and sum five losses.

    Frames are independent images. Losses are computed in float32 whatever autocast says.

    Args:
        num_classes: K.
        num_points: points on which masks are compared.
        oversample: candidates drawn for each point that is chosen for its uncertainty.
        importance: share of the points that are chosen for their uncertainty.
        class_weight: weight of the focal part, in matching cost and loss.
        mask_weight: weight of the masks' cross entropy.
        dice_weight: weight of the masks' dice loss.
        box_weight: weight of the boxes' L1 distance.
        giou_weight: weight of the boxes' generalised IoU.
        sampler: draws the points.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        num_points: int = 12544,
        oversample: float = 3.0,
        importance: float = 0.75,
        class_weight: float = 4.0,
        mask_weight: float = 5.0,
        dice_weight: float = 5.0,
        box_weight: float = 5.0,
        giou_weight: float = 2.0,
        sampler: Sampler = uniform,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.point_losses = PointLosses(num_points, oversample, importance, sampler)
        self.weights = {
            "class": class_weight,
            "mask": mask_weight,
            "dice": dice_weight,
            "box": box_weight,
            "giou": giou_weight,
        }

    def forward(self, output: MaskDINOOutput, targets: Sequence[ClipTargets]) -> Losses:
        """Compute the losses of a batch of clips.

        Args:
            output: predictions for B clips of T frames.
            targets: the instances of each clip, the same that the model was given to denoise.

        Returns:
            Losses and matchings of every level, the last first and the proposals at the end, and
            losses of denoising; `total` is the weighted sum of all.

        Raises:
            ValueError: targets do not fit the output.
            NonFiniteLoss: a cost or a loss is not finite.
        """
        check_output(output, targets, self.num_classes, independent_classes=True)
        device = output.mask_logits.device
        with autocast_off(device):
            frame_targets = FrameTargets.from_clips(
                [clip.to(device) for clip in targets], output.padded_size
            )
            num_masks = mean_over_processes(len(frame_targets.labels), device).clamp(min=1)
            levels, matchings = [], []
            for level in map(_Level.of, output.levels):
                matching = self._match(level, frame_targets)
                levels.append(self._losses(level, frame_targets, matching, num_masks))
                matchings.append(matching)
            parts = stack_levels(levels)
            total = weighted_total(parts, self.weights)
            if output.reconstruction is not None:
                noised = self._denoising(output.reconstruction, frame_targets, num_masks)
                parts |= {f"denoising {name}": part for name, part in noised.items()}
                total = total + weighted_total(noised, self.weights)
            losses = Losses(total, parts, tuple(matchings))
        check_finite(losses)
        return losses

    def _denoising(
        self, reconstruction: Reconstruction, targets: FrameTargets, num_masks: Tensor
    ) -> dict[str, Tensor]:
        """Return the losses of what was made of noised instances, (levels,) each."""
        denoising = reconstruction.denoising
        _check_denoised(denoising, targets)
        num_noised = num_masks * denoising.num_groups
        return stack_levels(
            [
                self._losses(level, targets, denoising.matching, num_noised)
                for level in map(_Level.of, reconstruction.levels)
            ]
        )

    @torch.no_grad()
    def _match(self, level: _Level, targets: FrameTargets) -> Matching:
        points = self.point_losses.for_matching(len(targets.counts), level.mask_logits.device)
        mask, dice = mask_costs(level.mask_logits, targets, points)
        box, giou = box_costs(level.boxes, targets)
        classes = focal_cost(level.class_logits, targets, ALPHA, GAMMA)
        costs = {"class": classes, "mask": mask, "dice": dice, "box": box, "giou": giou}
        return match(costs, self.weights, targets)

    def _losses(
        self, level: _Level, targets: FrameTargets, matching: Matching, num_masks: Tensor
    ) -> dict[str, Tensor]:
        """Return the losses of one level by name."""
        at = (matching.frames, matching.queries)
        wanted = torch.zeros_like(level.class_logits)
        wanted[(*at, targets.labels[matching.rows])] = 1
        classes = sigmoid_focal_loss(level.class_logits, wanted, ALPHA, GAMMA, reduction="sum")
        mask, dice = self.point_losses(level.mask_logits, targets, matching)
        box, giou = box_losses(level.boxes[at], targets.boxes[matching.rows])
        sums = {"class": classes, "mask": mask, "dice": dice, "box": box, "giou": giou}
        return {name: part / num_masks for name, part in sums.items()}


def _check_denoised(denoising: Denoising, targets: FrameTargets) -> None:
    """Raise ValueError where other targets were denoised than are compared."""
    wanted, got = len(denoising.matching.rows) // denoising.num_groups, len(targets.labels)
    if wanted != got:
        raise ValueError(
            f"targets must be those that the model was given, {wanted} instances in all frames, "
            f"got {got}"
        )


@dataclass(frozen=True)
class _Level:
    """A level's predictions with frames as rows, float32 at least."""

    class_logits: Tensor
    mask_logits: Tensor
    boxes: Tensor

    @classmethod
    def of(cls, level: Prediction) -> _Level:
        assert level.boxes is not None
        rows = (level.class_logits, level.mask_logits, level.boxes)
        return cls(*(at_least_float32(by_frame(row)) for row in rows))
