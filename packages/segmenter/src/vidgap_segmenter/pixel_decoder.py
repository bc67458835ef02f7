"""Mask2Former's pixel decoder: a deformable encoder over strides 8..32, then one FPN step.

Follows `modeling/pixel_decoder/msdeformattn.py`. It is cut in two so that a temporal module can
stand between the halves: `encode` gives the maps of strides 8, 16, 32, and `mask_features` joins
the stride-8 map with the backbone's stride-4 map.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidgap_segmenter.ops import ms_deform_attn_fused
from vidgap_segmenter.position import sine_position
from vidgap_segmenter.precision import at_least_float32, autocast_off

NUM_LEVELS = 3
NORM_GROUPS = 32


class PixelDecoder(nn.Module):
    """Turn four backbone maps into three encoded maps and the mask features.

    Levels are ordered coarse to fine inside (index 0 is stride 32, as in official weights) and
    fine to coarse at the border.

    Args:
        in_channels: channels of the backbone maps at strides 4, 8, 16, 32.
        channels: C of everything returned, divisible by 32 and by `num_heads`.
        num_layers: deformable encoder layers.
        ffn_channels: hidden channels of their feed-forward part.
        num_heads: attention heads.
        num_points: samples a head takes from each level.
        full_precision: whether autocast is off inside, as in the official recipe; otherwise only
            the places of samples stay float32 (docs/results.md has what each costs).
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        *,
        channels: int = 256,
        num_layers: int = 6,
        ffn_channels: int = 1024,
        num_heads: int = 8,
        num_points: int = 4,
        full_precision: bool = True,
    ) -> None:
        super().__init__()
        if channels % NORM_GROUPS or channels % num_heads:
            raise ValueError(
                f"channels must be divisible by {NORM_GROUPS} (group norm) and by num_heads "
                f"{num_heads}, got {channels}"
            )
        self.full_precision = full_precision
        finest, *rest = in_channels
        self.input_proj = nn.ModuleList(
            nn.Sequential(_conv(width, channels, 1, nn.init.xavier_uniform_), _norm(channels))
            for width in reversed(rest)
        )
        self.level_embed = nn.Parameter(torch.empty(NUM_LEVELS, channels))
        self.layers = nn.ModuleList(
            EncoderLayer(channels, ffn_channels, num_heads, num_points) for _ in range(num_layers)
        )
        self.lateral = nn.Sequential(
            _conv(finest, channels, 1, _c2_xavier, bias=False), _norm(channels)
        )
        self.smooth = nn.Sequential(
            _conv(channels, channels, 3, _c2_xavier, bias=False), _norm(channels), nn.ReLU()
        )
        self.mask_proj = _conv(channels, channels, 1, _c2_xavier)
        nn.init.normal_(self.level_embed)

    def encode(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Run the deformable encoder over frames.

        Args:
            maps: the backbone's (B*T, C_l, H_l, W_l), strides 8, 16, 32 (fine to coarse).

        Returns:
            (B*T, C, H_l, W_l) for the same strides, float32 where `full_precision`, views of one
            token tensor.
        """
        with self._precision(maps[0].device):
            coarse_first = [self._widen(map_) for map_ in reversed(maps)]
            projected = [
                proj(map_) for proj, map_ in zip(self.input_proj, coarse_first, strict=True)
            ]
            sizes = [(map_.shape[-2], map_.shape[-1]) for map_ in projected]
            # (B*T, S, C), levels one after another
            tokens = torch.cat([map_.flatten(2).transpose(1, 2) for map_ in projected], dim=1)
            position = self._positions(sizes, tokens)
            reference = reference_points(sizes, tokens)
            for layer in self.layers:
                tokens = layer(tokens, position, reference, sizes)
            split = tokens.split([height * width for height, width in sizes], dim=1)
            return [
                level.transpose(1, 2).unflatten(2, size)
                for level, size in zip(reversed(split), reversed(sizes), strict=True)
            ]

    def mask_features(self, finest: Tensor, encoded: Tensor) -> Tensor:
        """Join the stride-4 backbone map with the stride-8 encoded map (the FPN step).

        Args:
            finest: (B*T, C_4, H, W), the backbone's stride 4.
            encoded: (B*T, C, H_8, W_8), stride 8, after the temporal module if there is one.

        Returns:
            (B*T, C, H, W), float32 where `full_precision`.
        """
        with self._precision(finest.device):
            lateral = self.lateral(self._widen(finest))
            upsampled = F.interpolate(
                self._widen(encoded),
                size=lateral.shape[-2:],
                mode="bilinear",
                align_corners=False,
            )
            return self.mask_proj(self.smooth(lateral + upsampled))

    def _precision(self, device: torch.device) -> AbstractContextManager[object]:
        return autocast_off(device) if self.full_precision else nullcontext()

    def _widen(self, map_: Tensor) -> Tensor:
        return at_least_float32(map_) if self.full_precision else map_

    def _positions(self, sizes: list[tuple[int, int]], like: Tensor) -> Tensor:
        """Return sine positions plus the embedding of each level, (S, C)."""
        channels = like.shape[-1]
        return torch.cat(
            [
                sine_position(size, channels, device=like.device, dtype=like.dtype) + level
                for size, level in zip(sizes, self.level_embed, strict=True)
            ]
        )


def _conv(
    in_channels: int,
    out_channels: int,
    kernel: int,
    initialise: Callable[[Tensor], object],
    *,
    bias: bool = True,
) -> nn.Conv2d:
    """Build a convolution that keeps the size, its weight initialised, its bias zero."""
    conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=bias)
    initialise(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


def _c2_xavier(weight: Tensor) -> None:
    """Initialise as Caffe2's XavierFill, which the FPN convolutions use."""
    nn.init.kaiming_uniform_(weight, a=1)


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(NORM_GROUPS, channels)


class EncoderLayer(nn.Module):
    """Deformable self-attention and a feed-forward part, post-norm, on tokens (B*T, S, C)."""

    def __init__(self, channels: int, ffn_channels: int, num_heads: int, num_points: int) -> None:
        super().__init__()
        self.self_attn = DeformableAttention(channels, num_heads, NUM_LEVELS, num_points)
        self.norm1 = nn.LayerNorm(channels)
        self.linear1 = nn.Linear(channels, ffn_channels)
        self.linear2 = nn.Linear(ffn_channels, channels)
        self.norm2 = nn.LayerNorm(channels)
        for linear in (self.linear1, self.linear2):
            nn.init.xavier_uniform_(linear.weight)

    def forward(
        self, tokens: Tensor, position: Tensor, reference: Tensor, sizes: list[tuple[int, int]]
    ) -> Tensor:
        """Return refined tokens (B*T, S, C); `position` is (S, C), `reference` (B*T, S, L, 2)."""
        attended = self.self_attn(tokens + position, reference, tokens, sizes)
        tokens = self.norm1(tokens + attended)
        return self.norm2(tokens + self.linear2(F.relu(self.linear1(tokens))))


class DeformableAttention(nn.Module):
    """Multi-scale deformable attention with its projections (Deformable DETR §4.1)."""

    def __init__(self, channels: int, num_heads: int, num_levels: int, num_points: int) -> None:
        super().__init__()
        self.grid = (num_heads, num_levels, num_points)
        samples = num_heads * num_levels * num_points
        self.sampling_offsets = nn.Linear(channels, samples * 2)
        self.attention_weights = nn.Linear(channels, samples)
        self.value_proj = nn.Linear(channels, channels)
        self.output_proj = nn.Linear(channels, channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Let head k look in direction 2πk/M, its point p at distance p+1, all equally."""
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
        heads, levels, points = self.grid
        value = self.value_proj(tokens).unflatten(-1, (heads, -1))  # (B*T, S, M, D)
        offsets = self.sampling_offsets(query).unflatten(-1, (heads, levels, points, 2))
        logits = self.attention_weights(query).unflatten(-1, (heads, levels * points))
        return self.output_proj(ms_deform_attn_fused(value, sizes, reference, offsets, logits))


def reference_points(sizes: Sequence[tuple[int, int]], tokens: Tensor) -> Tensor:
    """Return the centre (x, y) of each token's own place, for every level, (B*T, S, L, 2).

    Args:
        sizes: (H_l, W_l) of each level.
        tokens: (B*T, S, C), for its batch size and device; the points are float32 at least.
    """
    dtype = torch.promote_types(tokens.dtype, torch.float32)
    centres = []
    for height, width in sizes:
        y = (torch.arange(height, device=tokens.device, dtype=dtype) + 0.5) / height
        x = (torch.arange(width, device=tokens.device, dtype=dtype) + 0.5) / width
        rows, columns = torch.meshgrid(y, x, indexing="ij")
        centres.append(torch.stack((columns, rows), dim=-1).flatten(0, 1))
    points = torch.cat(centres)[:, None]  # (S, 1, 2)
    return points.expand(len(tokens), -1, len(sizes), 2)
