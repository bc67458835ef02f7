"""From mask logits at stride 4 to the masks of a frame, and how sure the network is of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from vidgap_segmenter import ClipOutput
from vidgap_segmenter.inference import Resize, resize_to
from vidgap_vis.formats.rle import Rle

_MASKS_AT_ONCE = 8
"""How many masks are enlarged together: bounds the memory, costs no time."""


@dataclass(frozen=True)
class FrameMasks:
    """The masks of a frame.

    Attributes:
        rles: N masks, at the frame's own size.
        scores: (N,) float32, mean probability over the pixels of each mask, 0 for an empty one (as
            in `instance_inference`).
        areas: (N,) int64, pixels of each mask.
    """

    rles: tuple[Rle, ...]
    scores: npt.NDArray[np.float32]
    areas: npt.NDArray[np.int64]


def finish_masks(
    output: ClipOutput, logits: Tensor, size: tuple[int, int], resize: Resize = "bilinear"
) -> FrameMasks:
    """Resize mask logits to the frame's own size and threshold them at 0.

    Args:
        output: where they come from.
        logits: (N, h, w), over the padded frame.
        size: (H, W) wanted.
        resize: how they get it from the padded frame's size.
    """
    rles: list[Rle] = []
    scores, areas = [np.zeros(0, np.float32)], [np.zeros(0, np.int64)]
    for first in range(0, len(logits), _MASKS_AT_ONCE):
        large = resize_to(output, logits[first : first + _MASKS_AT_ONCE], size, resize)
        masks = large > 0  # (n, H, W)
        inside, area = (large.sigmoid() * masks).sum(dim=(1, 2)), masks.sum(dim=(1, 2))
        scores.append((inside / (area + 1e-6)).float().cpu().numpy())
        areas.append(area.cpu().numpy())
        rles += map(Rle.encode, masks.cpu().numpy())
    return FrameMasks(tuple(rles), np.concatenate(scores), np.concatenate(areas))
