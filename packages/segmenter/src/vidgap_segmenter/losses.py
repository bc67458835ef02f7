"""Losses by name, and what every criterion checks and counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.distributed
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import box_convert, generalized_box_iou_loss

from vidgap_segmenter.frame_targets import Matching
from vidgap_segmenter.structures import ClipOutput
from vidgap_segmenter.targets import ClipTargets, check_targets


class NonFiniteLoss(ValueError):  # noqa: N818 (what happened, as StopIteration)
    """A loss or a matching cost is not finite: training has diverged."""


@dataclass(frozen=True)
class Losses:
    """The losses of a batch.

    Attributes:
        total: the weighted sum that is minimised, a float32 scalar.
        parts: unweighted losses by name, each (levels,), float32, the last decoder level first:
            "class", "mask", "dice", for boxes "box" and "giou", and "denoising class" and so on
            for denoising queries.
        matchings: which query was matched with which instance, at each level.
    """

    total: Tensor
    parts: dict[str, Tensor]
    matchings: tuple[Matching, ...] = ()


def stack_levels(levels: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the losses of levels, scalars by name, as (levels,) by name."""
    return {name: torch.stack([level[name] for level in levels]) for name in levels[0]}


def weighted_total(parts: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Return the sum over all levels of the parts times their weights, a scalar."""
    by_level = [weights[name] * part for name, part in parts.items()]
    return sum(by_level[1:], by_level[0]).sum()


def box_losses(boxes: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Return the L1 distance and the generalised IoU loss of boxes (R, 4), each summed over them.

    Args:
        boxes: predicted, centre x, centre y, width, height.
        truth: of instances that are present, the same.
    """
    truth = truth.to(boxes.dtype)
    box = F.l1_loss(boxes, truth, reduction="sum")
    corners = (box_convert(each, "cxcywh", "xyxy") for each in (boxes, truth))
    # No eps, as in the official Mask DINO: an instance has an area, so no union is empty.
    return box, generalized_box_iou_loss(*corners, reduction="sum", eps=0.0)


def check_output(
    output: ClipOutput,
    targets: Sequence[ClipTargets],
    num_classes: int,
    *,
    independent_classes: bool,
) -> None:
    """Raise ValueError where an output does not fit its criterion or targets do not fit it."""
    clips, _, num_frames, num_logits = output.class_logits.shape
    wanted = f"{num_classes} classes" + ("" if independent_classes else " and no instance")
    if output.independent_classes != independent_classes:
        got = "independent classes" if output.independent_classes else "classes and no instance"
        raise ValueError(f"output must have {wanted}, got {got}: it is another network's")
    if num_logits != num_classes + (not independent_classes):
        raise ValueError(f"output must have {wanted}, got {num_logits} class logits")
    check_targets(targets, clips, num_frames, output.frame_size, num_classes)


def mean_over_processes(count: int | Tensor, device: torch.device) -> Tensor:
    """Return the mean of a count over the processes of a distributed run, a float32 scalar."""
    mean = torch.as_tensor(count, device=device).to(torch.float32, copy=True)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(mean)
        mean /= torch.distributed.get_world_size()
    return mean


def check_finite(losses: Losses) -> None:
    """Raise NonFiniteLoss, naming the parts that are not finite, where the total is not."""
    if losses.total.isfinite():
        return
    names = [
        f"{name} loss of level {index}"
        for name, values in losses.parts.items()
        for index in (~values.isfinite()).nonzero()[:, 0].tolist()
    ]
    raise NonFiniteLoss(f"losses must be finite, got nan or inf in the {', '.join(names)}")
