"""The definition of `window_attention` in PyTorch, on any device and in any floating dtype."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vidgap_temporal.ops.window_attention.settings import WindowSettings

PADDING = -1


def window_attention(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor, settings: WindowSettings
) -> Tensor:
    """Compute `vidgap_temporal.ops.window_attention`, which states and checks the arguments."""
    num_heads, window_size, shift, partner = settings
    batch, num_frames, height, width, _ = q.shape
    rows, columns = Axis(height, window_size, shift), Axis(width, window_size, shift)
    if partner is not None:
        k, v = (torch.stack([x[:, t] for t in partner], dim=1) for x in (k, v))
    q, k, v = (to_windows(x, rows, columns, num_heads) for x in (q, k, v))

    scores = position_scores(bias.to(q.dtype), rows, columns)  # (1 or windows, M, n, n)
    if rows.is_cut or columns.is_cut:
        same_region = rows.same_region(q.device)[:, None, :, None, :, None]
        same_region = same_region & columns.same_region(q.device)[None, :, None, :, None, :]
        attention_mask = same_region.flatten(4, 5).flatten(2, 3).flatten(0, 1)  # (windows, n, n)
        scores = scores.masked_fill(~attention_mask[:, None], -torch.inf)
        # The windows stand beside the heads, where scores need not be repeated for every frame.
        out = attend(q.flatten(1, 2), k.flatten(1, 2), v.flatten(1, 2), scores.flatten(0, 1)[None])
    else:
        out = attend(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1), scores)
    out = out.view(q.shape)
    return from_windows(out, rows, columns).unflatten(0, (batch, num_frames))


@dataclass(frozen=True)
class Axis:
    """How windows cut one axis of a map.

    Attributes:
        size: tokens of the map along the axis.
        window: tokens of a window.
        shift: by how many tokens the windows start later; the first and last one are cut short.
    """

    size: int
    window: int
    shift: int

    @property
    def num_windows(self) -> int:
        """Windows along the axis."""
        return -(-self.size // self.window)

    @property
    def side(self) -> int:
        """Tokens of a window that are computed: a single window needs no padded ones."""
        return self.window if self.num_windows > 1 else self.size

    @property
    def roll(self) -> int:
        """By how much tokens move to the front; within a single window their order is free."""
        return self.shift if self.num_windows > 1 else 0

    @property
    def padded_size(self) -> int:
        """Tokens along the axis, padded ones counted."""
        return self.num_windows * self.side

    @property
    def is_cut(self) -> bool:
        """Whether some window holds padding or a seam, so that a mask is needed."""
        return self.padded_size != self.size or 0 < self.shift < self.size

    def same_region(self, device: torch.device) -> Tensor:
        """Say which (query, key) pairs may attend, (num_windows, side, side) bool.

        A region is what the shifted windows hold of the map; padded tokens are one of their own.
        """
        token = torch.arange(self.padded_size, device=device)
        token = (token + self.roll) % self.padded_size
        region = (token + self.window - self.shift) // self.window
        region = region.masked_fill(token >= self.size, PADDING).view(-1, self.side)
        return region[:, :, None] == region[:, None, :]


def attend(q: Tensor, k: Tensor, v: Tensor, scores: Tensor) -> Tensor:
    """Softmax attention, (batch, heads, n, C/M), where `scores` are added to q k^T, scaled."""
    if q.is_cpu and scores.requires_grad and q.dtype in (torch.float32, torch.float64):
        # Torch's fused kernel has no gradient for `scores` on the CPU, and what it falls back to
        # takes a quarter more time or worse. No row is masked as a whole, so softmax is safe.
        logits = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
        return (logits + scores).softmax(dim=-1) @ v
    return F.scaled_dot_product_attention(q, k, v, scores)


def position_scores(bias: Tensor, rows: Axis, columns: Axis) -> Tensor:
    """Spread the table (M, (2w-1)**2) over the pairs of a window, (1, M, n, n), query then key."""
    device, side = bias.device, 2 * rows.window - 1
    dy = offsets(rows.side, device) + rows.window - 1
    dx = offsets(columns.side, device) + columns.window - 1
    entry = dy[:, None, :, None] * side + dx[None, :, None, :]  # (h, w, h, w)
    num_tokens = rows.side * columns.side
    return bias.index_select(1, entry.flatten()).view(1, -1, num_tokens, num_tokens)


def offsets(size: int, device: torch.device) -> Tensor:
    """Return query minus key for all pairs of tokens along an axis, (size, size)."""
    token = torch.arange(size, device=device)
    return token[:, None] - token[None, :]


def to_windows(x: Tensor, rows: Axis, columns: Axis, num_heads: int) -> Tensor:
    """Cut (B, T, H, W, C) in windows of n tokens, (B*T, windows, M, n, C/M)."""
    missing = (columns.padded_size - columns.size, rows.padded_size - rows.size)
    if any(missing):
        x = F.pad(x, (0, 0, 0, missing[0], 0, missing[1]))
    if rows.roll or columns.roll:
        x = x.roll((-rows.roll, -columns.roll), (2, 3))
    x = x.flatten(0, 1).unflatten(3, (num_heads, x.shape[4] // num_heads))
    x = x.unflatten(2, (columns.num_windows, columns.side))
    x = x.unflatten(1, (rows.num_windows, rows.side))  # (B*T, rows, h, columns, w, M, C/M)
    return x.permute(0, 1, 3, 5, 2, 4, 6).flatten(4, 5).flatten(1, 2)


def from_windows(x: Tensor, rows: Axis, columns: Axis) -> Tensor:
    """Undo `to_windows` but for its first axis: back to (B*T, H, W, C)."""
    x = x.unflatten(1, (rows.num_windows, columns.num_windows))
    x = x.unflatten(4, (rows.side, columns.side))  # (B*T, rows, columns, M, h, w, C/M)
    x = x.permute(0, 1, 4, 2, 5, 3, 6).flatten(5, 6).flatten(3, 4).flatten(1, 2)
    if rows.roll or columns.roll:
        x = x.roll((rows.roll, columns.roll), (1, 2))
    return x[:, : rows.size, : columns.size]
