"""One new size for a whole clip: shortest edge, or large-scale jitter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from vidgap_augment.arguments import check_count, check_counts, check_range, check_size
from vidgap_augment.draw import integer, uniform
from vidgap_augment.geometry import ClipShape, Size, Step, scaling
from vidgap_augment.plan import Plan
from vidgap_augment.transform import GeometricTransform

VIS_SHORT_EDGES = (320, 352, 392, 416, 448, 480, 512, 544, 576, 608, 640)
"""Short edges in training on YouTube-VIS and OVIS, with a longest edge of 768 (CTVIS)."""


class ClipResize(GeometricTransform[Size]):
    """Resize a clip so that its shortest edge is one of a set, keeping the aspect ratio.

    Frames are bilinear, antialiased when they shrink; masks take the nearest pixel.

    Args:
        short_edges: pixels; one is drawn a clip, uniformly.
        max_size: the longest edge is at most this; the shortest may then be below its drawn value.

    Raises:
        ValueError: an edge is not an integer of at least 1, or there is none.
    """

    def __init__(self, short_edges: Sequence[int] = VIS_SHORT_EDGES, max_size: int = 768) -> None:
        super().__init__()
        self.short_edges = check_counts("short_edges", short_edges)
        self.max_size = check_count("max_size", max_size)

    def draw(self, plan: Plan, generator: torch.Generator | None = None) -> Size:
        """Draw the short edge; return the new (H, W)."""
        _, height, width = plan.shape
        short_edge = self.short_edges[integer(0, len(self.short_edges) - 1, generator)]
        scale = min(short_edge / min(height, width), self.max_size / max(height, width))
        return scaled_size((height, width), scale)

    def step(self, params: Size, shape: ClipShape) -> Step:
        return resizing(shape, params)


class ClipScaleJitter(GeometricTransform[Size]):
    """Fit a clip into a box of random size: the resizing half of large-scale jitter.

    `ClipFixedCrop` of the same size is the other half. Together they are Mask2Former's COCO
    augmentation, with one scale and one offset for the whole clip (docs/paper.md#lsj).

    Args:
        size: (height, width) of the box at scale 1.
        scale_range: smallest and largest scale of the box; one is drawn a clip, uniformly.

    Raises:
        ValueError: a size below 1, or a scale of 0 or below or out of order.
    """

    def __init__(
        self, size: Sequence[int] = (1024, 1024), scale_range: Sequence[float] = (0.1, 2.0)
    ) -> None:
        super().__init__()
        self.size = check_size("size", size)
        self.scale_range = check_range("scale_range", scale_range, 1e-3, 1e3)

    def draw(self, plan: Plan, generator: torch.Generator | None = None) -> Size:
        """Draw the scale; return the new (H, W), the largest in the box with the same aspect."""
        _, height, width = plan.shape
        fit = min(self.size[0] / height, self.size[1] / width)
        return scaled_size((height, width), uniform(*self.scale_range, generator) * fit)

    def step(self, params: Size, shape: ClipShape) -> Step:
        return resizing(shape, params)


def scaled_size(size: Size, scale: float) -> Size:
    """Return (H, W) times `scale`, rounded half up, each at least 2.

    Not 1: torch 2.14 gives wrong pixels or an internal error where the result of an antialiased
    resize is one column wide (it takes the layout of such a tensor for channels last).
    """
    height, width = (max(2, int(side * scale + 0.5)) for side in size)
    return height, width


def resizing(shape: ClipShape, size: Size) -> Step:
    """Return the step that brings a clip to (H, W) `size`."""
    matrix = scaling(size[1] / shape.width, size[0] / shape.height)
    return Step(np.tile(matrix, (shape.num_frames, 1, 1)), size)
