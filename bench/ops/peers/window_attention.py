"""Windowed attention as others write it: copies into windows, then a library's attention."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Settings:
    """Settings of the windows, and the frame that each frame attends to (None: itself)."""

    num_heads: int
    window: int
    shift: int
    partner: tuple[int, ...] | None


def swin(how: Settings, q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """Attend with the bias and the mask as a tensor."""
    windows = [cut(x, how) for x in moved(how, q, k, v)]  # (frames * windows, M, n, D)
    entry, region = tables(how, q.shape[2], q.shape[3], q.device)
    scores = bias[:, entry][None]  # (1, M, n, n)
    apart = region[:, :, None] != region[:, None, :]
    scores = scores.masked_fill(apart[:, None], -torch.inf)  # (windows, M, n, n)
    # The windows stand beside the heads, so that scores are not repeated for every frame.
    count = len(region)
    q_, k_, v_ = (x.unflatten(0, (-1, count)).flatten(1, 2) for x in windows)
    out = F.scaled_dot_product_attention(q_, k_, v_, attn_mask=scores.flatten(0, 1)[None])
    return joined(out.unflatten(1, (count, how.num_heads)).flatten(0, 1), q.shape, how)


def flex(
    how: Settings, attention: Callable[..., Any], q: Tensor, k: Tensor, v: Tensor, bias: Tensor
) -> Tensor:
    """Attend with flex_attention, which looks up bias and region for itself."""
    windows = [cut(x, how) for x in moved(how, q, k, v)]
    entry, region = tables(how, q.shape[2], q.shape[3], q.device)
    count = len(region)

    def score(number: Tensor, window: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        same = region[window % count, query] == region[window % count, key]
        return torch.where(same, number + bias[head, entry[query, key]], -torch.inf)

    return joined(attention(*windows, score_mod=score), q.shape, how)


@functools.cache
def compiled_flex() -> Callable[..., Any]:
    """Return flex_attention, compiled."""
    from torch._dynamo import config
    from torch.nn.attention.flex_attention import flex_attention

    config.recompile_limit = 100  # beyond it flex would run uncompiled: each map is one more
    compiled: Callable[..., Any] = torch.compile(flex_attention)
    return compiled


def moved(how: Settings, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return queries, keys and values with the partners' frames in place."""
    if how.partner is None:
        return q, k, v
    order = how.partner
    return q, torch.stack([k[:, t] for t in order], 1), torch.stack([v[:, t] for t in order], 1)


def cut(x: Tensor, how: Settings) -> Tensor:
    """Pad, roll and cut (B, T, H, W, C) into windows (B*T*windows, M, n, D)."""
    window, (height, width) = how.window, x.shape[2:4]
    x = F.pad(x, (0, 0, 0, -width % window, 0, -height % window))
    if how.shift:
        x = x.roll((-how.shift, -how.shift), (2, 3))
    x = x.flatten(0, 1).unflatten(2, (-1, window)).unflatten(1, (-1, window))
    x = x.transpose(2, 3).flatten(3, 4).flatten(0, 2)  # (B*T*windows, n, C)
    return x.unflatten(2, (how.num_heads, -1)).transpose(1, 2)


def joined(x: Tensor, shape: torch.Size, how: Settings) -> Tensor:
    """Undo `cut`: back to (B, T, H, W, C), its `shape`."""
    batch, frames, height, width, _ = shape
    window = how.window
    rows, columns = -(-height // window), -(-width // window)
    x = x.transpose(1, 2).flatten(2).unflatten(1, (window, window))
    x = x.unflatten(0, (batch * frames, rows, columns)).transpose(2, 3)
    x = x.flatten(3, 4).flatten(1, 2)
    if how.shift:
        x = x.roll((how.shift, how.shift), (1, 2))
    return x[:, :height, :width].unflatten(0, (batch, frames))


@functools.cache
def tables(how: Settings, height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the tables that do not depend on the input, cached as in Swin's implementations.

    Returns:
        The entry of the bias for each pair of a window's tokens, (n, n), and for each token of
        each window the region of the map that it may attend to, (windows, n).
    """
    window = how.window
    side = torch.arange(window)
    grid = torch.stack(torch.meshgrid(side, side, indexing="ij")).flatten(1)  # (2, n)
    apart = grid[:, :, None] - grid[:, None, :] + window - 1
    entry = apart[0] * (2 * window - 1) + apart[1]
    rows, columns = (regions(size, how) for size in (height, width))
    region = rows[:, None] * (len(columns) + 3) + columns[None, :]
    region[rows < 0] = -1
    region[:, columns < 0] = -1
    region = region.unflatten(1, (-1, window)).unflatten(0, (-1, window)).transpose(1, 2)
    return entry.to(device), region.flatten(2).flatten(0, 1).to(device)


def regions(size: int, how: Settings) -> Tensor:
    """Number the segments of an axis, after the roll, that may attend to each other; -1: padding.

    A segment is a window of the shifted grid; after the roll the first and the last share one.
    """
    padded = size + -size % how.window
    token = (torch.arange(padded) + how.shift) % padded
    region = (token + how.window - how.shift) // how.window
    return region.masked_fill(token >= size, -1)
