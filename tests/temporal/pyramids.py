"""Small modules and feature pyramids for the tests of the module."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vidgap_temporal import MultiScaleTemporalModule

SIZES = ((5, 6), (3, 4), (2, 2))
"""Maps that windows of 4 do not divide, fine to coarse."""


def make_module(seed: int = 0, dtype: torch.dtype = torch.float64, **arguments):
    """A module of 8 channels and three scales; `arguments` override."""
    small = {"channels": 8, "window_size": 4, "num_heads": 2, "ffn_channels": 12, **arguments}
    torch.manual_seed(seed)
    return MultiScaleTemporalModule(**small).to(dtype)


def make_pyramid(
    batch: int = 2,
    num_frames: int = 3,
    channels: int = 8,
    sizes: Sequence[tuple[int, int]] = SIZES,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(batch, num_frames, channels, *size, generator=generator, dtype=dtype)
        for size in sizes
    ]


def channels_last(maps: Tensor) -> Tensor:
    """The same values, with the flattened frames in torch.channels_last."""
    frames = maps.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    return frames.unflatten(0, maps.shape[:2])
