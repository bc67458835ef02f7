"""Removal of instances that are too small to learn from, frame by frame."""

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

    An instance that is absent from all frames is dropped, as in every transform. It replaces
    `v2.SanitizeBoundingBoxes`, which expects one label a box; a clip has N labels and N*T boxes,
    of which zeros mean "absent", not "invalid".

    Args:
        min_area: the least pixels of a mask in a frame.
        min_size: the least side of its box, in pixels.

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
        """Render the plan, and empty the masks that are too small."""
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
