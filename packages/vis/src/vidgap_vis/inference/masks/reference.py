"""The definition of `finish_masks`, in PyTorch."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from vidgap_segmenter import ClipOutput
from vidgap_segmenter.inference import Resize, resize_to
from vidgap_vis.formats.rle import Rle
from vidgap_vis.inference.masks.frame_masks import FrameMasks

_MASKS_AT_ONCE = 8
"""How many masks are enlarged together: bounds the memory, costs no time."""


def finish_masks(
    output: ClipOutput, logits: Tensor, size: tuple[int, int], resize: Resize
) -> FrameMasks:
    """Compute `vidgap_vis.inference.masks.finish_masks`, which states the arguments."""
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
