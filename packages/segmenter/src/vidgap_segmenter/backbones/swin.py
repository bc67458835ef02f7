"""Swin Transformer (Liu et al. 2021) as Mask2Former runs it.

Maps are padded right and bottom to a multiple of the window after the first norm, then rolled; the
window is never shrunk for small maps. timm rolls before it pads, which is another network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidgap_segmenter.backbones.base import Backbone
from vidgap_segmenter.checkpointing import Checkpointed

PATCH = 4
MLP_RATIO = 4
DROP_PATH = 0.3
"""Rate of stochastic depth at the last block; it grows linearly from 0 at the first."""

BLOCKED = -100.0


@dataclass(frozen=True)
class SwinSize:
    """Width of the first stage, blocks and heads of each stage, and the window's side."""

    width: int
    depths: tuple[int, int, int, int]
    heads: tuple[int, int, int, int]
    window: int


SWIN_SIZES = {
    "swin_tiny": SwinSize(96, (2, 2, 6, 2), (3, 6, 12, 24), 7),
    "swin_small": SwinSize(96, (2, 2, 18, 2), (3, 6, 12, 24), 7),
    "swin_base": SwinSize(128, (2, 2, 18, 2), (4, 8, 16, 32), 12),
    "swin_large": SwinSize(192, (2, 2, 18, 2), (6, 12, 24, 48), 12),
}


class Swin(Backbone):
    """The four stages of Swin, each map through a norm of its own.

    Args:
        size: widths, depths, heads and window.
    """

    def __init__(self, size: SwinSize) -> None:
        super().__init__()
        self.channels = tuple(size.width << stage for stage in range(4))
        self.patch_embed = PatchEmbed(size.width)
        rates = torch.linspace(0, DROP_PATH, sum(size.depths), device="cpu").tolist()
        self.layers = nn.ModuleList()
        for stage, (channels, depth) in enumerate(zip(self.channels, size.depths, strict=True)):
            start = sum(size.depths[:stage])
            self.layers.append(
                Stage(
                    channels,
                    size.heads[stage],
                    size.window,
                    rates[start : start + depth],
                    merge=stage < 3,
                )
            )
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for channels in self.channels)

    def forward(self, images: Tensor) -> list[Tensor]:
        tokens = self.patch_embed(images)  # (B, H, W, C)
        maps = []
        for layer, norm in zip(self.layers, self.norms, strict=True):
            out, tokens = layer(tokens)
            maps.append(norm(out).permute(0, 3, 1, 2))  # (B, H, W, C) -> (B, C, H, W)
        return maps


class PatchEmbed(nn.Module):
    """Embed patches of 4x4 pixels, (B, 3, H, W) -> (B, H/4, W/4, C)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, channels, PATCH, stride=PATCH)
        self.norm = nn.LayerNorm(channels)

    def forward(self, images: Tensor) -> Tensor:
        return self.norm(self.proj(images).permute(0, 2, 3, 1))


class Stage(nn.Module):
    """Blocks of one width, then patch merging; returns the map before and after merging."""

    def __init__(
        self, channels: int, num_heads: int, window: int, rates: Sequence[float], *, merge: bool
    ) -> None:
        super().__init__()
        self.window = window
        self.blocks = nn.ModuleList(
            Block(channels, num_heads, window, shifted=index % 2 == 1, drop_path=rate)
            for index, rate in enumerate(rates)
        )
        self.downsample = PatchMerging(channels) if merge else nn.Identity()

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, H, W, C) and (B, H/2, W/2, 2C)."""
        mask = shift_mask(tokens, self.window)
        for block in self.blocks:
            tokens = block(tokens, mask)
        return tokens, self.downsample(tokens)


class Block(Checkpointed):
    """Window attention and an MLP, pre-norm, on tokens (B, H, W, C)."""

    def __init__(
        self, channels: int, num_heads: int, window: int, *, shifted: bool, drop_path: float
    ) -> None:
        super().__init__()
        self.window = window
        self.shift = window // 2 if shifted else 0
        self.norm1 = nn.LayerNorm(channels)
        self.attn = WindowAttention(channels, num_heads, window)
        self.drop_path = DropPath(drop_path)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = Mlp(channels)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Return (B, H, W, C); `mask` is that of `shift_mask`."""
        tokens = tokens + self.drop_path(self._attend(self.norm1(tokens), mask))
        return tokens + self.drop_path(self.mlp(self.norm2(tokens)))

    def _attend(self, tokens: Tensor, mask: Tensor) -> Tensor:
        _, height, width, _ = tokens.shape
        side, shift = self.window, self.shift
        padded = F.pad(tokens, (0, 0, 0, -width % side, 0, -height % side))
        if shift:
            padded = padded.roll((-shift, -shift), dims=(1, 2))
        attended = self.attn(to_windows(padded, side), mask if shift else None)
        whole = from_windows(attended, side, padded.shape[1:3])
        if shift:
            whole = whole.roll((shift, shift), dims=(1, 2))
        return whole[:, :height, :width]


class WindowAttention(nn.Module):
    """Self-attention inside windows, with a learned bias for each relative position."""

    relative_position_index: Tensor

    def __init__(self, channels: int, num_heads: int, window: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        table = torch.empty((2 * window - 1) ** 2, num_heads)
        self.relative_position_bias_table = nn.Parameter(nn.init.trunc_normal_(table, std=0.02))
        self.register_buffer(
            "relative_position_index", relative_positions(window), persistent=False
        )
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, windows: Tensor, mask: Tensor | None) -> Tensor:
        """Return (B, W, S, C).

        Args:
            windows: (B, W, S, C), W windows of S tokens an image.
            mask: (W, S, S), added to the scores; None where windows are not shifted.
        """
        num_windows, heads = windows.shape[1], self.num_heads
        # (B, W, S, 3*C) -> three of (B, W*M, S, D): a head of a window is a head of the image
        qkv = self.qkv(windows).unflatten(-1, (3, heads, -1)).transpose(2, 4).flatten(1, 2)
        query, key, value = qkv.unbind(2)
        bias = self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)
        scores = bias.expand(num_windows, -1, -1, -1) if mask is None else bias + mask[:, None]
        scores = scores.flatten(0, 1)[None].to(query.dtype)  # (1, W*M, S, S)
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=scores)
        return self.proj(out.unflatten(1, (num_windows, heads)).transpose(2, 3).flatten(3))


class Mlp(nn.Module):
    """Two linear layers with GELU between them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, MLP_RATIO * channels)
        self.fc2 = nn.Linear(MLP_RATIO * channels, channels)

    def forward(self, tokens: Tensor) -> Tensor:

        return self.fc2(F.gelu(self.fc1(tokens)))


class PatchMerging(nn.Module):
    """Join 2x2 neighbours, (B, H, W, C) -> (B, ceil(H/2), ceil(W/2), 2C), padded with zeros."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduction = nn.Linear(4 * channels, 2 * channels, bias=False)
        self.norm = nn.LayerNorm(4 * channels)

    def forward(self, tokens: Tensor) -> Tensor:
        padded = F.pad(tokens, (0, 0, 0, tokens.shape[2] % 2, 0, tokens.shape[1] % 2))
        corners = [padded[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(torch.cat(corners, dim=-1)))


class DropPath(nn.Module):
    """Drop a residual branch (B, ...) for whole images while training (stochastic depth)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return branch
        kept = branch.new_empty(len(branch), *(1,) * (branch.ndim - 1)).bernoulli_(1 - self.rate)
        return branch * (kept / (1 - self.rate))


def to_windows(tokens: Tensor, side: int) -> Tensor:
    """Cut (B, H, W, C) into windows, (B, windows, side*side, C)."""
    cut = tokens.unflatten(2, (-1, side)).unflatten(1, (-1, side))  # (B, h, side, w, side, C)
    return cut.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def from_windows(windows: Tensor, side: int, size: Sequence[int]) -> Tensor:
    """Put windows back together, (B, windows, side*side, C) -> (B, H, W, C)."""
    height, width = size
    cut = windows.unflatten(1, (height // side, width // side)).unflatten(3, (side, side))
    return cut.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def shift_mask(tokens: Tensor, side: int) -> Tensor:
    """Return the attention mask between regions that only rolling made neighbours, (windows, S, S).

    Args:
        tokens: (B, H, W, C), for its size before padding, dtype and device.
        side: of the windows.
    """

    def regions(length: int) -> Tensor:
        padded = length + -length % side
        index = torch.arange(padded, device=tokens.device)
        return (index >= padded - side).long() + (index >= padded - side // 2)

    _, height, width, _ = tokens.shape
    region = 3 * regions(height)[:, None] + regions(width)
    windows = to_windows(region[None, :, :, None], side)[0, :, :, 0]  # (windows, S)
    apart = windows[:, :, None] != windows[:, None, :]
    return torch.zeros_like(apart, dtype=tokens.dtype).masked_fill_(apart, BLOCKED)


def relative_positions(side: int) -> Tensor:
    """Return the row of the bias table for each (query, key) of a window, (S, S) int64."""
    index = torch.arange(side)
    apart = index[:, None] - index + side - 1  # (side, side), query minus key, from 0
    rows, columns = apart[:, None, :, None], apart[None, :, None, :]
    return (rows * (2 * side - 1) + columns).flatten(2).flatten(0, 1)
