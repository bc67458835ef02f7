"""The short-term stage: Swin layers that attend within a frame and to one partner (paper §3.2).

Everything here keeps the channels last: features are (B, T, H, W, C).
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidgap_temporal.ops import window_attention

Pairing: TypeAlias = Literal["half", "adjacent"]


def partner_frames(num_frames: int, pairing: Pairing) -> tuple[int, ...]:
    """Return for each frame the one that it attends to, a permutation of 0..T-1.

    'half' is the paper's F_s^2: the clip's two halves swapped, the first one longer if T is odd.
    'adjacent' swaps neighbours (0 and 1, 2 and 3, ...); with odd T the last frame meets itself.
    """
    if pairing == "half":
        split = (num_frames + 1) // 2
        return (*range(split, num_frames), *range(split))
    return tuple(min(t ^ 1, num_frames - 1) for t in range(num_frames))


class SelfAttention(nn.Module):
    """Multi-head attention in the windows of each frame (Swin's W-MSA), with a position bias."""

    def __init__(self, channels: int, window_size: int, num_heads: int, shift: int) -> None:
        super().__init__()
        self.num_heads, self.window_size, self.shift = num_heads, window_size, shift
        self.qkv = linear(channels, 3 * channels)
        self.proj = linear(channels, channels)
        self.relative_position_bias_table = position_table(num_heads, window_size)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, T, H, W, C) to the same shape."""
        q, k, v = self.qkv(features).chunk(3, dim=-1)
        return self.proj(
            window_attention(
                q,
                k,
                v,
                self.relative_position_bias_table,
                num_heads=self.num_heads,
                window_size=self.window_size,
                shift=self.shift,
            )
        )


class CrossAttention(nn.Module):
    """The same with keys and values from another frame (the paper's cross-attention)."""

    def __init__(self, channels: int, window_size: int, num_heads: int, shift: int) -> None:
        super().__init__()
        self.num_heads, self.window_size, self.shift = num_heads, window_size, shift
        self.q = linear(channels, channels)
        self.kv = linear(channels, 2 * channels)
        self.proj = linear(channels, channels)
        self.relative_position_bias_table = position_table(num_heads, window_size)

    def forward(self, features: Tensor, source: Tensor, partner: tuple[int, ...]) -> Tensor:
        """Attend from frame t of `features` to partner[t] of `source`, all (B, T, H, W, C)."""
        k, v = self.kv(source).chunk(2, dim=-1)
        return self.proj(
            window_attention(
                self.q(features),
                k,
                v,
                self.relative_position_bias_table,
                num_heads=self.num_heads,
                window_size=self.window_size,
                shift=self.shift,
                partner=partner,
            )
        )


class ShortTermLayer(nn.Module):
    """One Swin block with self-attention, cross-attention and a feed-forward network.

    U = F1 + self(LN(F1)); V = U + cross(LN(U), LN(F2)); out = V + FFN(LN(V)), where F2 are the
    partner frames of the layer's own input F1.
    """

    def __init__(
        self, channels: int, window_size: int, num_heads: int, ffn_channels: int, shift: int
    ) -> None:
        super().__init__()
        self.self_norm = nn.LayerNorm(channels)
        self.self_attention = SelfAttention(channels, window_size, num_heads, shift)
        self.query_norm = nn.LayerNorm(channels)
        self.source_norm = nn.LayerNorm(channels)
        self.cross_attention = CrossAttention(channels, window_size, num_heads, shift)
        self.ffn_norm = nn.LayerNorm(channels)
        self.ffn_in = linear(channels, ffn_channels)
        self.ffn_out = linear(ffn_channels, channels)

    def forward(self, features: Tensor, partner: tuple[int, ...]) -> Tensor:
        """Map (B, T, H, W, C) to the same shape; `partner` as in `partner_frames`."""
        # The op fetches the partner's keys and values, so that F2 itself is never built.
        source = self.source_norm(features)
        mixed = features + self.self_attention(self.self_norm(features))
        mixed = mixed + self.cross_attention(self.query_norm(mixed), source, partner)
        return mixed + self.ffn_out(F.gelu(self.ffn_in(self.ffn_norm(mixed))))

    def silence(self) -> None:
        """Zero the last projections, so that the layer returns its input."""
        for last in (self.self_attention.proj, self.cross_attention.proj, self.ffn_out):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)


class ShortTermStage(nn.Module):
    """L layers; the windows of every second one are shifted by half their side."""

    def __init__(
        self,
        channels: int,
        window_size: int,
        num_heads: int,
        ffn_channels: int,
        num_layers: int,
        pairing: Pairing,
    ) -> None:
        super().__init__()
        self.pairing: Pairing = pairing
        self.layers = nn.ModuleList(
            ShortTermLayer(
                channels, window_size, num_heads, ffn_channels, window_size // 2 * (index % 2)
            )
            for index in range(num_layers)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map f to f^u, both (B, T, H, W, C)."""
        partner = partner_frames(features.shape[1], self.pairing)
        for layer in self.layers:
            features = layer(features, partner)
        return features

    def silence(self) -> None:
        """Make the stage return its input."""
        for layer in self.layers:
            assert isinstance(layer, ShortTermLayer)
            layer.silence()


def linear(in_channels: int, out_channels: int) -> nn.Linear:
    """Return a linear layer with Xavier weights and zero bias, as transformers start."""
    layer = nn.Linear(in_channels, out_channels)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def position_table(num_heads: int, window_size: int) -> nn.Parameter:
    """Return Swin's table of position biases, one row a head as the op reads it."""
    table = nn.Parameter(torch.empty(num_heads, (2 * window_size - 1) ** 2))
    nn.init.trunc_normal_(table, std=0.02)
    return table
