"""Boxes as Mask DINO has them: (centre x, centre y, width, height) in [0, 1] over a frame."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vidgap_segmenter.position import TEMPERATURE, cell_centres

EPSILON = 1e-5
"""Smallest p and 1 - p in the logit of p, which keeps it finite."""


def inverse_sigmoid(probability: Tensor) -> Tensor:
    """Return the logits of probabilities, of any shape (see `EPSILON` for those near 0 and 1)."""
    probability = probability.clamp(0, 1)
    return (probability.clamp(min=EPSILON) / (1 - probability).clamp(min=EPSILON)).log()


def mask_boxes(masks: Tensor, *, whole_pixels: bool = True) -> Tensor:
    """Return the boxes around masks, in [0, 1] over the masks.

    Args:
        masks: (..., H, W), bool.
        whole_pixels: whether a box ends at the far side of its last row and column, or at their
            index (`masks_to_boxes` of DETR, and so Mask DINO's "mask2box").

    Returns:
        (..., 4), float32. The box of an empty mask has size 0; its centre is (0, 0) with whole
        pixels and (1, 1) without, as in the official code after clamping.
    """
    size = [masks.shape[-1], masks.shape[-2]]
    first, last = [], []
    for filled, length in zip((masks.any(-2), masks.any(-1)), size, strict=True):
        index = torch.arange(length, device=masks.device)
        last.append(index.where(filled, -1).amax(-1))
        first.append(index.where(filled, length).amin(-1))
    start = torch.stack(first, dim=-1).float()  # (..., 2), x then y
    end = torch.stack(last, dim=-1).float() + whole_pixels
    scale = start.new_tensor(size)
    boxes = torch.cat(((start + end) / 2, end - start), dim=-1) / scale.repeat(2)
    nowhere = boxes.new_tensor([0.0, 0.0, 0.0, 0.0] if whole_pixels else [1.0, 1.0, 0.0, 0.0])
    return boxes.where(masks.flatten(-2).any(-1, keepdim=True), nowhere)


def sine_embedding(boxes: Tensor, channels: int) -> Tensor:
    """Return sines and cosines of boxes' coordinates, in the order y, x, width, height (DAB-DETR).

    Args:
        boxes: (..., 4).
        channels: for each coordinate, even.

    Returns:
        (..., 4 * channels), sines and cosines interleaved.
    """
    pair = torch.arange(channels // 2, device=boxes.device, dtype=boxes.dtype)
    wavelength = TEMPERATURE ** (2 * pair / channels)
    ordered = boxes[..., [1, 0, 2, 3], None] * (2 * math.pi) / wavelength  # (..., 4, channels/2)
    return torch.stack((ordered.sin(), ordered.cos()), dim=-1).flatten(-3)


def cell_boxes(sizes: list[tuple[int, int]], like: Tensor) -> Tensor:
    """Return a square for each cell of several maps: its centre, and sides of 0.05 * 2^level.

    Args:
        sizes: (H_l, W_l) of each level, in the order of the tokens.
        like: tensor of the device and dtype wanted.

    Returns:
        (S, 4).
    """
    boxes = []
    for level, size in enumerate(sizes):
        centres = cell_centres(size, like)
        boxes.append(torch.cat((centres, torch.full_like(centres, 0.05 * 2**level)), dim=1))
    return torch.cat(boxes)
