"""A rendered clip, on any device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vidgap_augment.boxes import move_boxes
from vidgap_augment.plan import Plan


@dataclass(frozen=True, eq=False)
class Rendered:
    """A clip as pixels.

    Attributes:
        frames: (T, 3, H, W) uint8.
        masks: (K, T, H, W) bool of the instances that are left; None if the plan has no masks.
        boxes: (K, T, 4) float32 XYXY; zeros where absent. None if it has neither masks nor boxes.
        kept: (K,) int64 on the CPU, their rows among the N instances and P pastes of the plan.
    """

    frames: Tensor
    masks: Tensor | None
    boxes: Tensor | None
    kept: Tensor


def render_boxes(plan: Plan, frames: Tensor, keep_absent: bool) -> Rendered:
    """Return a clip without masks: its frames, and its moved boxes, if any."""
    if plan.boxes is None:
        return Rendered(frames, None, None, torch.zeros(0, dtype=torch.int64))
    boxes = move_boxes(plan.boxes, plan.placement)
    kept = torch.arange(len(boxes))
    if not keep_absent:
        kept = (boxes[..., 2] > 0).any(dim=1).nonzero()[:, 0].cpu()
    return Rendered(frames, None, boxes[kept.to(boxes.device)], kept)


def kept_rows(column: Tensor | None, kept: Tensor) -> Tensor | None:
    """Return the kept rows of (N,) values on any device."""
    return None if column is None else column[kept.to(column.device)]
