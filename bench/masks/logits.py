"""Mask logits as a network gives them: objects with wavy edges, where they are steep."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

SHAPE = (96, 160)
"""At stride 4 of a padded frame of 384x640; a frame of 360x640 covers 90 rows."""

STEEPNESS, TOP = 0.4, 8.0
"""Logits are TOP * tanh(STEEPNESS * cells from the edge)."""


def objects(count: int, shares: tuple[float, float], seed: int = 0) -> Tensor:
    """Return logits of objects anywhere in the frame.

    Args:
        count: N.
        shares: of the frame that an object covers, least and most.
        seed: of all that is drawn.

    Returns:
        (N, 96, 160) float32.
    """
    rng = np.random.default_rng(seed)
    height, width = SHAPE
    rows, columns = np.mgrid[0:height, 0:width]
    maps = []
    for _ in range(count):
        y, x = rng.uniform(0.2, 0.8, 2) * SHAPE
        radius = np.sqrt(rng.uniform(*shares) * height * width / np.pi)
        stretch = np.exp(rng.uniform(-0.5, 0.5))
        down, across = (rows - y) / stretch, (columns - x) * stretch
        angle = np.arctan2(down, across)
        waves = [
            rng.uniform(0, 0.15) * np.cos(times * angle + rng.uniform(0, 6.3))
            for times in rng.integers(2, 12, 4)
        ]
        from_edge = radius * (1 + sum(waves)) - np.hypot(down, across)
        noise = rng.normal(0, 0.3, SHAPE)
        maps.append(TOP * np.tanh(STEEPNESS * from_edge) + noise)
    return torch.from_numpy(np.stack(maps).astype(np.float32))


def speckles(count: int, seed: int = 0) -> Tensor:
    """Return logits without any object: noise, a third of it above 0; (N, 96, 160) float32."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(-2, 4.6, (count, *SHAPE)).astype(np.float32))
