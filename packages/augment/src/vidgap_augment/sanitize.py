"""Instances too small to learn from, taken out frame by frame."""

from __future__ import annotations

from dataclasses import replace

import torch

from vidgap_augment.arguments import check_number
from vidgap_augment.boxes import boxes_from_masks
from vidgap_augment.plan import Plan, SourceMasks
from vidgap_augment.render import materialised
from vidgap_augment.transform import ClipTransform


class SanitizeInstances(ClipTransform[None]):
    """Make instances absent from the frames in which they are too small.

    An instance that is absent from all frames is dropped, as in every transform. This does for
    clips what `v2.SanitizeBoundingBoxes` does for images. That one takes one label a box, but a
    clip has N labels and N*T boxes, and a zero box there means "absent", not "invalid".

    Args:
        min_area: pixels of a mask in a frame, at least.
        min_size: pixels of each side of its box, at least.

    Raises:
        ValueError: an argument is negative; or, when called, instances have no masks.
    """

    def __init__(self, min_area: int = 1, min_size: int = 1) -> None:
        super().__init__()
        self.min_area = check_number("min_area", min_area, 0, 2**62)
        self.min_size = check_number("min_size", min_size, 0, 2**62)

    def draw(self, plan: Plan, generator: torch.Generator | None = None) -> None:
        """Draw nothing."""

    def add(self, plan: Plan, params: None) -> Plan:  # noqa: ARG002
        """Make what was planned, and empty the masks that are too small."""
        if plan.masks_for(self) is None:
            return plan
        made = materialised(plan)
        assert made.masks is not None
        masks = made.masks.masks
        boxes = boxes_from_masks(masks).reshape(*masks.shape[:2], 4)
        sides = boxes[..., 2:] - boxes[..., :2]
        areas = masks.flatten(2).sum(dim=2)
        large = (sides.amin(dim=2) >= self.min_size) & (areas >= self.min_area)
        return replace(made, masks=SourceMasks(masks & large[..., None, None]))
