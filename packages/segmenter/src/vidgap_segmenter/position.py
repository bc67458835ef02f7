"""Sine position embeddings (Mask2Former, `position_encoding.py`; DETR §A.4)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

TEMPERATURE = 10000.0


def sine_position_embedding(
    size: tuple[int, int], channels: int, *, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """Return the position embedding of every cell of a map, row by row, (H*W, C).

    The first half of the channels encodes the row, the second the column; within each half even
    channels are sines and odd ones cosines.

    Args:
        size: (H, W) of the map.
        channels: C, divisible by 4.
        device: where the embedding is made.
        dtype: floating dtype in which it is computed and returned.
    """
    if channels % 4:
        raise ValueError(
            f"channels must be divisible by 4 for a sine position embedding, got {channels}"
        )
    height, width = size
    pair = torch.arange(channels // 4, device=device, dtype=dtype)
    wavelength = TEMPERATURE ** (4 * pair / channels)  # (C/4,), one for a sine and its cosine
    rows = _waves(height, wavelength)[:, None].expand(height, width, -1)
    columns = _waves(width, wavelength)[None, :].expand(height, width, -1)
    return torch.cat((rows, columns), dim=-1).flatten(0, 1)


def clip_position_embedding(
    num_frames: int,
    size: tuple[int, int],
    channels: int,
    *,
    device: torch.device,
    dtype: torch.dtype,
) -> Tensor:
    """Return the position embedding of every cell of a clip's maps, (T*H*W, C).

    Cells are in the order frame, row, column. Each has the embedding of its place in the map plus
    one of its frame, in all C channels (Mask2Former-VIS §2; `PositionEmbeddingSine3D`).

    Args:
        num_frames: T.
        size: (H, W) of the maps.
        channels: C, divisible by 4.
        device: where the embedding is made.
        dtype: floating dtype in which it is computed and returned.
    """
    cells = sine_position_embedding(size, channels, device=device, dtype=dtype)
    pair = torch.arange(channels // 2, device=device, dtype=dtype)
    frames = _waves(num_frames, TEMPERATURE ** (2 * pair / channels))  # (T, C)
    return (frames[:, None] + cells).flatten(0, 1)


def cell_centres(size: tuple[int, int], like: Tensor) -> Tensor:
    """Return the centre (x, y) of every cell of a map in [0, 1], row by row, (H*W, 2).

    Args:
        size: (H, W) of the map.
        like: tensor of the device and dtype wanted.
    """
    height, width = size
    y = (torch.arange(height, device=like.device, dtype=like.dtype) + 0.5) / height
    x = (torch.arange(width, device=like.device, dtype=like.dtype) + 0.5) / width
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    return torch.stack((columns, rows), dim=-1).flatten(0, 1)


def _waves(length: int, wavelength: Tensor) -> Tensor:
    """Return sines and cosines of 1..length scaled to 2π, interleaved: two a wavelength."""
    index = torch.arange(1, length + 1, device=wavelength.device, dtype=wavelength.dtype)
    angle = (index * (2 * math.pi / (length + 1e-6)))[:, None] / wavelength
    return torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1)
