"""Multi-scale deformable attention with its projections (Deformable DETR §4.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vidgap_segmenter.ops import ms_deform_attn_fused
from vidgap_segmenter.position import cell_centres
from vidgap_segmenter.precision import at_least_float32


class DeformableAttention(nn.Module):
    """Each query samples a few learned points of every level.

    Args:
        channels: C.
        num_heads: M.
        num_levels: L.
        num_points: P, points that a head samples on each level.
    """

    def __init__(self, channels: int, num_heads: int, num_levels: int, num_points: int) -> None:
        super().__init__()
        self.grid = (num_heads, num_levels, num_points)
        num_samples = num_heads * num_levels * num_points
        self.sampling_offsets = nn.Linear(channels, num_samples * 2)
        self.attention_weights = nn.Linear(channels, num_samples)
        self.value_proj = nn.Linear(channels, channels)
        self.output_proj = nn.Linear(channels, channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start head k in direction 2πk/M, its point p at distance p+1, with equal weights."""
        heads, levels, points = self.grid
        angle = torch.arange(heads) * (2 * math.pi / heads)
        direction = torch.stack((angle.cos(), angle.sin()), dim=-1)
        direction = direction / direction.abs().amax(dim=-1, keepdim=True)  # (M, 2)
        distance = torch.arange(1, points + 1)[:, None]
        bias = (direction[:, None, None] * distance).expand(heads, levels, points, 2)
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(bias.flatten())
        for weight in (self.sampling_offsets.weight, *self.attention_weights.parameters()):
            nn.init.zeros_(weight)
        for projection in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(projection.weight)
            nn.init.zeros_(projection.bias)

    def forward(
        self, query: Tensor, reference: Tensor, tokens: Tensor, sizes: list[tuple[int, int]]
    ) -> Tensor:
        """Return (B*T, Q, C) for `query` (B*T, Q, C) over `tokens` (B*T, S, C)."""
        return self.output_proj(self.sample(query, reference, tokens, sizes))

    def sample(
        self, query: Tensor, reference: Tensor, tokens: Tensor, sizes: list[tuple[int, int]]
    ) -> Tensor:
        """Return the same without the output projection."""
        heads, levels, points = self.grid
        value = self.value_proj(tokens).unflatten(-1, (heads, -1))  # (B*T, S, M, D)
        offsets = self.sampling_offsets(query).unflatten(-1, (heads, levels, points, 2))
        logits = self.attention_weights(query).unflatten(-1, (heads, levels * points))
        return ms_deform_attn_fused(value, sizes, reference, offsets, logits)


def reference_points(sizes: Sequence[tuple[int, int]], tokens: Tensor) -> Tensor:
    """Return the centre (x, y) of each token's own cell, for every level, (B*T, S, L, 2).

    Args:
        sizes: (H_l, W_l) of each level.
        tokens: (B*T, S, C), for its batch size and device; the points are float32 at least.
    """
    like = at_least_float32(tokens[:0])
    points = torch.cat([cell_centres(size, like) for size in sizes])[:, None]  # (S, 1, 2)
    return points.expand(len(tokens), -1, len(sizes), 2)
