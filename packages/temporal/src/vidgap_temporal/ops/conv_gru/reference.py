"""The definition of `conv_gru` in PyTorch, on any device and in any floating dtype."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vidgap_temporal.ops.conv_gru.weights import GRUWeights


def conv_gru(x: Tensor, h: Tensor | None, weights: GRUWeights) -> tuple[Tensor, Tensor]:
    """Compute `vidgap_temporal.ops.conv_gru`, which states and checks the arguments."""
    batch, num_frames, channels, height, width = x.shape
    if h is not None:
        h = h.to(x.dtype)  # another one only under autocast
    elif num_frames == 1:
        # One frame alone goes the general way, so that `weights.hidden` gets a gradient (zero)
        # rather than none, which distributed training takes for an unused parameter.
        h = x.new_zeros(batch, channels, height, width)

    # The input half of both convolutions for all frames at once: only the hidden half is
    # sequential. CPUs convolve fastest with the channels last (tensor cores want them so, too).
    frames = x.flatten(0, 1).contiguous(memory_format=torch.channels_last)  # (B*T, C, H, W)
    gates = F.conv2d(frames, weights.input, weights.bias, padding=1)  # (B*T, 3C, H, W)
    gate_weight, candidate_weight = weights.hidden.tensor_split([2 * channels])

    states: list[Tensor] = []
    for gate in gates.unflatten(0, (batch, num_frames)).unbind(1):
        reset_update, candidate = gate.tensor_split([2 * channels], dim=1)
        if h is None:  # a zero state adds nothing to the gates
            h = reset_update[:, channels:].sigmoid().mul(candidate.tanh()).to(x.dtype)
        else:
            reset_update = (reset_update + F.conv2d(h, gate_weight, padding=1)).sigmoid()
            r, z = reset_update.chunk(2, dim=1)
            c = (candidate + F.conv2d(r * h, candidate_weight, padding=1)).tanh()
            h = torch.lerp(h, c.to(h.dtype), z.to(h.dtype))  # (1 - z) * h + z * c
        states.append(h)
    assert h is not None
    return stack_channels_last(states), h


def stack_channels_last(states: list[Tensor]) -> Tensor:
    """Stack T tensors (B, C, H, W) to (B, T, C, H, W) with the channels last in memory."""
    return torch.stack([h.permute(0, 2, 3, 1) for h in states], dim=1).permute(0, 1, 4, 2, 3)
