"""Small heads of VITA and GenVIS with weights that tell queries apart, and queries for them."""

from __future__ import annotations

import torch
from torch import Tensor

from vidgap_vis.trackers.genvis import GenVIS
from vidgap_vis.trackers.vita import VITA

CHANNELS, NUM_FRAME_QUERIES, NUM_QUERIES, NUM_CLASSES = 16, 5, 6, 3


def small_vita(*, window: int = 3, num_frame_queries: int = NUM_FRAME_QUERIES) -> VITA:
    torch.manual_seed(1)
    head = VITA(
        NUM_CLASSES,
        num_frame_queries=num_frame_queries,
        channels=CHANNELS,
        num_queries=NUM_QUERIES,
        num_encoder_layers=3,
        num_layers=2,
        num_heads=2,
        ffn_channels=24,
        window=window,
    )
    return head.double().eval()


def small_genvis(*, max_memory: int | None = None) -> GenVIS:
    head = GenVIS(small_vita(window=0), max_memory)
    return head.double().eval()


def random_queries(*shape: int, seed: int = 0) -> Tensor:
    """Return frame queries (*shape, fQ, C), float64."""
    generator = torch.Generator().manual_seed(seed)
    size = (*shape, NUM_FRAME_QUERIES, CHANNELS)
    return torch.randn(size, generator=generator, dtype=torch.float64)
