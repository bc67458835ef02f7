"""What frames the networks take, and to which size they pad them."""

from __future__ import annotations

import torch
from torch import Tensor

SIZE_DIVISOR = 32


def padded_size(frames: Tensor) -> tuple[int, int]:
    """Return (H, W) of frames (..., H, W) after padding right and bottom."""
    height, width = frames.shape[-2:]
    return height + -height % SIZE_DIVISOR, width + -width % SIZE_DIVISOR


def check_frames(frames: object, device: torch.device) -> None:
    """Raise ValueError unless `frames` are (B, T, 3, H, W), uint8 or floating, on `device`."""
    if not isinstance(frames, Tensor):
        raise ValueError(f"frames must be a tensor, got {type(frames).__name__}")
    if frames.ndim != 5 or frames.shape[2] != 3:
        raise ValueError(f"frames must be (B, T, 3, H, W), got shape {tuple(frames.shape)}")
    if 0 in frames.shape:
        raise ValueError(f"frames must have a pixel, got shape {tuple(frames.shape)}")
    if frames.dtype != torch.uint8 and not frames.is_floating_point():
        raise ValueError(f"frames must be uint8 or floating, 0..255, got {frames.dtype}")
    if frames.device != device:
        raise ValueError(f"frames must be on the model's device {device}, got {frames.device}")
