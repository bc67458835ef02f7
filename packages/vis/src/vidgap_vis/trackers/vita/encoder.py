"""VITA's object encoder: frame queries exchange what they know, window by window (VITA §3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vidgap_vis.trackers.layers import AttentionLayer, FFNLayer


class ObjectEncoder(nn.Module):
    """Self-attention over the frame queries of windows of frames, without positions or times.

    Every other layer's windows are cut half a window off the others', so that what one window knows
    reaches the next. The release rolls the frames for that, pads them to whole windows, and hides
    padded frames and, from each other, the last and the first frames that meet in one window. Just
    the windows of `window_edges` are left, each attending to all of itself; they are computed as
    such, without masks or padding.

    The windows of layers are not shifted in training mode, as in the release, whose clips are no
    longer than one.

    Args:
        channels: C.
        num_layers: each of self-attention and a feed-forward part, post-norm.
        num_heads: attention heads.
        ffn_channels: hidden channels of the feed-forward parts.
        window: frames that attend to each other; 0: all.
    """

    def __init__(
        self, channels: int, *, num_layers: int, num_heads: int, ffn_channels: int, window: int
    ) -> None:
        super().__init__()
        if window < 0:
            raise ValueError(f"window must be 0 frames (all) or more, got {window}")
        self.window = window
        self.attention = nn.ModuleList(
            AttentionLayer(channels, num_heads) for _ in range(num_layers)
        )
        self.ffn = nn.ModuleList(FFNLayer(channels, ffn_channels) for _ in range(num_layers))

    def forward(self, frame_queries: Tensor) -> Tensor:
        """Encode (B, T, fQ, C) to the same shape."""
        num_frames = frame_queries.shape[1]
        for index, (attention, ffn) in enumerate(zip(self.attention, self.ffn, strict=True)):
            shifted = index % 2 == 1 and not self.training
            edges = window_edges(num_frames, self.window, shifted=shifted)
            frame_queries = ffn(self._attend(attention, frame_queries, edges))
        return frame_queries

    def _attend(self, attention: nn.Module, frames: Tensor, edges: list[int]) -> Tensor:
        """Attend within windows: whole ones in one call, a shorter first and last one in others."""
        begin, end = edges[0], edges[-1]
        if self.window:
            begin = edges[1] if edges[1] - edges[0] < self.window else begin
            end -= (end - begin) % self.window
        parts = [
            _within(attention, frames[:, first:last], length)
            for first, last, length in (
                (0, begin, begin),
                (begin, end, self.window or end),
                (end, edges[-1], edges[-1] - end),
            )
            if last > first
        ]
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]


def window_edges(num_frames: int, window: int, *, shifted: bool) -> list[int]:
    """Return where windows begin, and the last one ends: 0, ..., num_frames.

    Args:
        num_frames: T, 1 or more.
        window: frames of a window; 0: all T.
        shifted: whether the first window has only half of them, rounded down.
    """
    if window == 0:
        return [0, num_frames]
    first = window // 2 if shifted else 0
    return [0, *range(first or window, num_frames, window), num_frames]


def _within(attention: nn.Module, frames: Tensor, length: int) -> Tensor:
    """Attend within windows of `length` frames, (B, n * length, fQ, C)."""
    windows = frames.unflatten(1, (-1, length)).flatten(0, 1).flatten(1, 2)
    windows = attention(windows, windows, windows, windows)  # (B*n, length*fQ, C)
    return windows.reshape(frames.shape)
