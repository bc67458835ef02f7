"""Mask2Former's loss: set prediction with every decoder level supervised (Mask2Former §3.3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed
import torch.nn.functional as F
from torch import Tensor, nn

from vidgap_segmenter.matcher import (
    Cost,
    FrameTargets,
    Matching,
    choice_cost,
    mask_costs,
    match,
)
from vidgap_segmenter.point_losses import PointLosses
from vidgap_segmenter.points import Sampler, uniform
from vidgap_segmenter.precision import at_least_float32, autocast_off
from vidgap_segmenter.structures import (
    ClipOutput,
    ClipTargets,
    Losses,
    Prediction,
    by_frame,
    check_targets,
)


class Criterion(nn.Module):
    """Match queries with instances in every frame and level, and sum class, mask and dice losses.

    Frames are independent images. Losses are computed in float32 whatever autocast says.

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
        self.class_weight = class_weight
        self.mask_weight = mask_weight
        self.dice_weight = dice_weight
        self.no_instance_weight = no_instance_weight

    def forward(self, output: ClipOutput, targets: Sequence[ClipTargets]) -> Losses:
        """Compute the losses of a batch of clips.

        Args:
            output: predictions for B clips of T frames.
            targets: the instances of each clip, on any device, masks at the size of the frames
                given to the model. An instance counts in the frames where its mask has a pixel.

        Returns:
            Losses of every level; `total` is their weighted sum.

        Raises:
            ValueError: targets do not fit the output, or a cost or loss is not finite.
        """
        check_output(output, targets, self.num_classes, independent_classes=False)
        device = output.mask_logits.device
        with autocast_off(device):
            frame_targets = FrameTargets.from_clips(
                [clip.to(device) for clip in targets], output.padded_size
            )
            num_masks = mean_over_processes(len(frame_targets.labels), device).clamp(min=1)
            levels = [self._level(level, frame_targets, num_masks) for level in output.levels]
            classes, mask, dice = (torch.stack(part) for part in zip(*levels, strict=True))
            total = self.class_weight * classes + self.mask_weight * mask + self.dice_weight * dice
            losses = Losses(classes, mask, dice, total.sum())
        check_finite(losses)
        return losses

    def _level(
        self, level: Prediction, targets: FrameTargets, num_masks: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the class, mask and dice loss of one level."""
        class_logits = at_least_float32(by_frame(level.class_logits))
        mask_logits = at_least_float32(by_frame(level.mask_logits))
        matching = self._match(class_logits, mask_logits, targets)
        classes = self._class_loss(class_logits, targets, matching)
        mask, dice = self.point_losses(mask_logits, targets, matching)
        return classes, mask / num_masks, dice / num_masks

    @torch.no_grad()
    def _match(self, class_logits: Tensor, mask_logits: Tensor, targets: FrameTargets) -> Matching:
        points = self.point_losses.for_matching(len(targets.counts), mask_logits.device)
        mask, dice = mask_costs(mask_logits, targets, points)
        costs = (
            Cost("class", self.class_weight, choice_cost(class_logits, targets)),
            Cost("mask", self.mask_weight, mask),
            Cost("dice", self.dice_weight, dice),
        )
        return match(costs, targets)

    def _class_loss(
        self, class_logits: Tensor, targets: FrameTargets, matching: Matching
    ) -> Tensor:
        """Return the weighted mean of the cross entropy over all queries."""
        num_frames, num_queries, _ = class_logits.shape
        wanted = matching.queries.new_full((num_frames, num_queries), self.num_classes)
        wanted[matching.frames, matching.queries] = targets.labels[matching.rows]
        weight = class_logits.new_ones(self.num_classes + 1)
        weight[-1] = self.no_instance_weight
        return F.cross_entropy(class_logits.flatten(0, 1), wanted.flatten(), weight=weight)


def check_output(
    output: ClipOutput,
    targets: Sequence[ClipTargets],
    num_classes: int,
    *,
    independent_classes: bool,
) -> None:
    """Raise ValueError where an output is not of a criterion's classes, or targets not of it."""
    clips, _, num_frames, num_logits = output.class_logits.shape
    wanted = f"{num_classes} classes" + ("" if independent_classes else " and no instance")
    if output.independent_classes != independent_classes:
        got = "independent classes" if output.independent_classes else "classes and no instance"
        raise ValueError(f"output must have {wanted}, got {got}: it is another network's")
    if num_logits != num_classes + (not independent_classes):
        raise ValueError(f"output must have {wanted}, got {num_logits} class logits")
    check_targets(targets, clips, num_frames, output.frame_size, num_classes)


def mean_over_processes(count: int, device: torch.device) -> Tensor:
    """Return the mean of a count over the processes of a distributed run, a float32 scalar."""
    mean = torch.tensor(float(count), device=device)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(mean)
        mean /= torch.distributed.get_world_size()
    return mean


def check_finite(losses: Losses) -> None:
    """Raise ValueError, with the names of what is not, where the total is not finite."""
    if losses.total.isfinite():
        return
    names = [
        f"{name} loss of level {index}"
        for name, values in losses.parts().items()
        for index in (~values.isfinite()).nonzero()[:, 0].tolist()
    ]
    raise ValueError(f"losses must be finite, got nan or inf in the {', '.join(names)}")
