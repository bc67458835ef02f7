"""One new size for a whole clip: shortest edge, or large-scale jitter."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from vidgap_augment.arguments import check_count, check_counts, check_range, check_size
from vidgap_augment.draw import integer, uniform
from vidgap_augment.sample import Sample
from vidgap_augment.transform import ClipTransform, Thing
from vidgap_augment.warp import as_array

Size = tuple[int, int]

VIS_SHORT_EDGES = (320, 352, 392, 416, 448, 480, 512, 544, 576, 608, 640)
"""Short edges in training on YouTube-VIS and OVIS, with a longest edge of 768 (CTVIS)."""


class ClipResize(ClipTransform[Size]):
    """Resize a clip so that its shortest edge is one of a set, keeping the aspect ratio.

    Frames are bilinear, antialiased when they shrink; masks take the nearest pixel.

    Args:
        short_edges: pixels; one is drawn a clip, each as likely.
        max_size: the longest edge is at most this; the shortest is then below its drawn value.

    Raises:
        ValueError: an edge is not an integer of at least 1, or there is none.
    """

    def __init__(self, short_edges: Sequence[int] = VIS_SHORT_EDGES, max_size: int = 768) -> None:
        super().__init__()
        self.short_edges = check_counts("short_edges", short_edges)
        self.max_size = check_count("max_size", max_size)

    def make_params(self, sample: Sample, generator: torch.Generator | None = None) -> Size:
        """Draw the short edge; return the new (H, W)."""
        height, width = sample["video"].shape[-2:]
        short_edge = self.short_edges[integer(0, len(self.short_edges) - 1, generator)]
        scale = min(short_edge / min(height, width), self.max_size / max(height, width))
        return scaled_size((height, width), scale)

    def transform(self, thing: Thing, params: Size) -> Tensor:
        """Resize every frame to `params`, (H, W)."""
        return resize(thing, params)


class ClipScaleJitter(ClipTransform[Size]):
    """Fit a clip into a box of random scale: the resizing half of large-scale jitter.

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

    def make_params(self, sample: Sample, generator: torch.Generator | None = None) -> Size:
        """Draw the scale; return the new (H, W), the largest in the box with the same aspect."""
        height, width = sample["video"].shape[-2:]
        fit = min(self.size[0] / height, self.size[1] / width)
        return scaled_size((height, width), uniform(*self.scale_range, generator) * fit)

    def transform(self, thing: Thing, params: Size) -> Tensor:
        """Resize every frame to `params`, (H, W)."""
        return resize(thing, params)


def scaled_size(size: Size, scale: float) -> Size:
    """Return (H, W) times `scale`, rounded half up, each at least 2.

    Not 1: torch 2.14 gives wrong pixels or an internal error where the result of an antialiased
    resize is one column wide (it takes the layout of such a tensor for channels last).
    """
    height, width = (max(2, int(side * scale + 0.5)) for side in size)
    return height, width


def resize(thing: Thing, size: Size) -> Tensor:
    """Resize frames (…, H, W) uint8 bilinearly with antialiasing, masks to the nearest pixel."""
    if isinstance(thing, tv_tensors.Mask):
        return _resize_masks(thing, size)
    return F.resize(thing, list(size), InterpolationMode.BILINEAR, antialias=True)


def _resize_masks(masks: Tensor, size: Size) -> Tensor:
    """Resize (N, T, H, W) bool masks.

    OpenCV's exact nearest reads at pixel centres, as the bilinear frames do; torchvision's mask
    kernel reads at corners (half a pixel off at scale 2) and goes through float32.
    """
    height, width = size
    source = as_array(masks)
    result = np.empty((*source.shape[:2], height, width), np.uint8)
    for index in np.ndindex(source.shape[:2]):
        result[index] = cv2.resize(
            source[index], (width, height), interpolation=cv2.INTER_NEAREST_EXACT
        )
    return torch.from_numpy(result).view(torch.bool)
