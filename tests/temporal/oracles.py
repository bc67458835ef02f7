"""The two ops as plain loops over Python floats, written from their definition alone."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor


def conv_at(maps: list, weight: list, y: int, x: int) -> float:
    """One output value of a 3x3 convolution with zero padding; maps [C][H][W], weight [C][3][3]."""
    height, width = len(maps[0]), len(maps[0][0])
    total = 0.0
    for channel, dy, dx in itertools.product(range(len(maps)), range(3), range(3)):
        row, column = y + dy - 1, x + dx - 1
        if 0 <= row < height and 0 <= column < width:
            total += weight[channel][dy][dx] * maps[channel][row][column]
    return total


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def conv_gru_loops(
    x: Tensor, h: Tensor | None, input_weight: Tensor, hidden_weight: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor]:
    batch, num_frames, channels, height, width = x.shape
    w, u, b = input_weight.tolist(), hidden_weight.tolist(), bias.tolist()
    outputs = torch.zeros_like(x)
    last = torch.zeros(batch, channels, height, width, dtype=x.dtype)
    cells = list(itertools.product(range(channels), range(height), range(width)))
    for index in range(batch):
        state = (torch.zeros_like(last[0]) if h is None else h[index]).tolist()
        for t in range(num_frames):
            frame = x[index, t].tolist()

            def gate(number: int, hidden: list, c: int, y: int, z: int, frame=frame) -> float:
                row = number * channels + c
                from_input = conv_at(frame, w[row], y, z)
                return from_input + conv_at(hidden, u[row], y, z) + b[row]

            reset = torch.zeros(channels, height, width, dtype=x.dtype).tolist()
            for c, i, j in cells:
                reset[c][i][j] = sigmoid(gate(0, state, c, i, j)) * state[c][i][j]
            after = torch.zeros(channels, height, width, dtype=x.dtype).tolist()
            for c, i, j in cells:
                update = sigmoid(gate(1, state, c, i, j))
                candidate = math.tanh(gate(2, reset, c, i, j))
                after[c][i][j] = (1 - update) * state[c][i][j] + update * candidate
            state = after
            outputs[index, t] = torch.tensor(state, dtype=x.dtype)
        last[index] = torch.tensor(state, dtype=x.dtype)
    return outputs, last


def swin_region(index: int, padded: int, window: int, shift: int) -> int:
    """Swin's three slices of a rolled axis."""
    if shift == 0 or index < padded - window:
        return 0
    return 1 if index < padded - shift else 2


def window_attention_loops(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor,
    num_heads: int,
    window: int,
    shift: int,
    partner: Sequence[int] | None,
) -> Tensor:
    batch, num_frames, height, width, channels = q.shape
    depth = channels // num_heads
    tall, wide = math.ceil(height / window) * window, math.ceil(width / window) * window
    tokens = list(itertools.product(range(height), range(width)))
    out = torch.zeros_like(q)
    for b, t, head in itertools.product(range(batch), range(num_frames), range(num_heads)):
        source = t if partner is None else partner[t]
        mine = slice(head * depth, (head + 1) * depth)
        queries, keys = q[b, t, :, :, mine].tolist(), k[b, source, :, :, mine].tolist()
        for y, x in tokens:
            rolled = ((y - shift) % tall, (x - shift) % wide)
            scores, attended = [], []
            for ky, kx in tokens:  # padded tokens are not even looked at
                key_rolled = ((ky - shift) % tall, (kx - shift) % wide)
                pairs = list(zip(rolled, key_rolled, (tall, wide), strict=True))
                if any(a // window != c // window for a, c, _ in pairs):
                    continue
                if any(
                    swin_region(a, side, window, shift) != swin_region(c, side, window, shift)
                    for a, c, side in pairs
                ):
                    continue
                dy, dx = (a - c + window - 1 for a, c, _ in pairs)
                dot = sum(a * c for a, c in zip(queries[y][x], keys[ky][kx], strict=True))
                position = bias[head, dy * (2 * window - 1) + dx].item()
                scores.append(dot / math.sqrt(depth) + position)
                attended.append((ky, kx))
            highest = max(scores)
            weights = [math.exp(score - highest) for score in scores]
            for weight, (ky, kx) in zip(weights, attended, strict=True):
                out[b, t, y, x, mine] += weight / sum(weights) * v[b, source, ky, kx, mine]
    return out
