"""The ConvGRU over a clip, forward and backward, from convolutions and four gate kernels.

The input half of both convolutions runs once over all frames, and so do the gradients of every
weight and of the frames; a step of the recurrence is two convolutions and two kernels, each way.

Within this file time comes first and channels last: a map is (B, H, W, C), all frames of one kind
are (T, B, H, W, C), so that the maps of a step lie together, as convolutions want them. States are
kept in the dtype of the frames x, all else in the dtype of the weights, which convolutions run in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from vidgap_temporal.ops.conv_gru.convolutions import (
    convolution_backward,
    convolve,
    convolve_back,
    join,
    nchw,
    rows,
    split,
    weight_grad,
)
from vidgap_temporal.ops.conv_gru.gates import Gates

Weights: TypeAlias = tuple[Tensor, Tensor, Tensor]
"""Input (3C, C, 3, 3), hidden (3C, C, 3, 3), bias (3C,): `GRUWeights`."""


class Kept(NamedTuple):
    """What the backward pass needs of the forward one.

    Attributes:
        output: states after each frame, (B, T, H, W, C).
        reset: r, (T, B, H, W, C); T-1 frames where the state before the first is zero.
        update: z, (T, B, H, W, C).
        candidate: c, (T, B, H, W, C).
    """

    output: Tensor
    reset: Tensor
    update: Tensor
    candidate: Tensor


class Wanted(NamedTuple):
    """Which gradients to compute."""

    x: bool
    h: bool
    input: bool
    hidden: bool
    bias: bool


def forward(
    gates: Gates, x: Tensor, h: Tensor | None, weights: Weights, keep: bool
) -> tuple[Kept, Tensor]:
    """Run over x (B, T, C, H, W) from h (B, C, H, W), of its dtype, or None for zeros.

    Returns:
        What the backward pass needs (without `keep` the output alone, the others are empty), and
        the last state, (B, H, W, C).
    """
    input_weight, hidden_weight, bias = weights
    frames = time_first(x, input_weight.dtype)  # (T, B, H, W, C)
    num_frames, *size = frames.shape
    gates_of_all = convolve(frames.flatten(0, 1), input_weight)  # (T*B, H, W, 3C)
    frame_gates = gates_of_all.unflatten(0, frames.shape[:2]).unbind()
    gate_weight, candidate_weight = split(hidden_weight)

    kept = make_kept(x, frames, keep, zero_state=h is None)
    last = x.new_empty(size)
    resets, updates, candidates = gate_maps(kept, frames, keep)
    reset_state = frames.new_empty(size)
    # A convolution copies what is not dense in its own dtype: the kernel writes that as well.
    carried = frames.new_empty(size) if size[0] > 1 or x.dtype != frames.dtype else None

    state = None if h is None else rows(h)
    dense = None if state is None else state.to(frames.dtype)
    for t, after in enumerate(kept.output.unbind(1)):
        candidate_gates = None
        if state is not None and dense is not None:
            state_gates = convolve(dense, gate_weight)
            gates.reset(
                *(frame_gates[t], state_gates, bias, state),
                *(resets[t], updates[t], reset_state),
            )
            candidate_gates = convolve(reset_state, candidate_weight)
        gates.blend(
            *(frame_gates[t], candidate_gates, bias, state, updates[t], candidates[t]),
            *(after, carried, last if t == num_frames - 1 else None),
        )
        state, dense = after, after if carried is None else carried
    return kept, last


def make_kept(x: Tensor, frames: Tensor, keep: bool, zero_state: bool) -> Kept:
    """Allocate what `forward` fills; without `keep` the gates have no frames."""
    num_frames, *size = frames.shape
    gates = num_frames if keep else 0
    resets = gates - 1 if keep and zero_state else gates
    return Kept(
        x.new_empty(size[0], num_frames, *size[1:]),
        *(frames.new_empty(length, *size) for length in (resets, gates, gates)),
    )


def gate_maps(
    kept: Kept, frames: Tensor, keep: bool
) -> tuple[Sequence[Tensor | None], Sequence[Tensor], Sequence[Tensor | None]]:
    """Return where the steps write r, z and c; z is needed within a step, so always written."""
    num_frames = len(frames)
    if not keep:
        nothing = [None] * num_frames
        return nothing, [frames.new_empty(frames.shape[1:])] * num_frames, nothing
    first = [None] * (num_frames - len(kept.reset))
    return [*first, *kept.reset.unbind()], kept.update.unbind(), kept.candidate.unbind()


def backward(
    gates: Gates,
    grads: tuple[Tensor | None, Tensor | None],
    x: Tensor,
    h: Tensor | None,
    weights: Weights,
    kept: Kept,
    wanted: Wanted,
) -> tuple[Tensor | None, ...]:
    """Return the gradients of x, h, input, hidden and bias, None where not wanted.

    Args:
        gates: the kernels.
        grads: of the output, (B, T, C, H, W), and of the last state, (B, C, H, W).
        x: as in `forward`; so are `h` and `weights`.
        h: see x.
        weights: see x.
        kept: what `forward` returned.
        wanted: which gradients.
    """
    hidden = split(weights[1])
    found = walk_back(gates, grads, h, hidden, kept, wanted.h)
    grad_x, grad_input, grad_bias = input_grads(x, weights[0], found, wanted)
    grad_hidden = None
    if wanted.hidden:
        first = len(found.gates) - len(found.before)  # the step from a zero state has no part
        grad_hidden = join(
            weight_grad(found.before, found.gates[first:], hidden[0]),
            weight_grad(found.reset_states, found.candidates[first:], hidden[1]),
        )
    return grad_x, found.h, grad_input, grad_hidden, grad_bias


class Found(NamedTuple):
    """What the walk back through time finds, frames first.

    Attributes:
        gates: gradients of the sums of r, z, (T, B, H, W, 2C).
        candidates: gradients of the sums of c, (T, B, H, W, C).
        before: h before each frame that has a state before it, (T or T-1, B, H, W, C).
        reset_states: r*h of the same frames.
        h: gradient of the state before the first frame, (B, C, H, W), or None.
    """

    gates: Tensor
    candidates: Tensor
    before: Tensor
    reset_states: Tensor
    h: Tensor | None


def walk_back(
    gates: Gates,
    grads: tuple[Tensor | None, Tensor | None],
    h: Tensor | None,
    hidden: tuple[Tensor, Tensor],
    kept: Kept,
    wants_h: bool,
) -> Found:
    """Carry the gradient of the state from the last frame to the first; see `backward`."""
    num_frames, *size = kept.update.shape
    gate_weight, candidate_weight = hidden
    of_gates = kept.update.new_empty(num_frames, *size[:-1], 2 * size[-1])
    of_candidates = torch.empty_like(kept.update)
    before, reset_states = torch.empty_like(kept.reset), torch.empty_like(kept.reset)
    states = [None if h is None else rows(h), *kept.output.unbind(1)]
    resets, updates, candidates = (maps.unbind() for maps in kept[1:])
    gate_grads, candidate_grads = of_gates.unbind(), of_candidates.unbind()
    pairs = list(zip(reset_states.unbind(), before.unbind(), strict=True))
    grad_outputs = unbind_output(grads[0], num_frames)
    grad_next = None if grads[1] is None else rows(grads[1])
    grad_state, grad_through = kept.output.new_empty(size), None
    for t in reversed(range(num_frames)):
        gates.blend_backward(
            *(grad_outputs[t], grad_next, grad_through, states[t]),
            *(updates[t], candidates[t], gate_grads[t], candidate_grads[t], grad_state),
        )
        grad_next, state = grad_state, states[t]
        if state is None:
            return Found(of_gates, of_candidates, before, reset_states, None)
        i = t - num_frames  # counts from the end, where all have their last frame
        grad_reset_state = convolve_back(candidate_grads[t], candidate_weight)
        gates.reset_backward(
            *(grad_reset_state, state, resets[i], grad_state, gate_grads[t], *pairs[i]),
        )
        if t > 0 or wants_h:
            grad_through = convolve_back(gate_grads[t], gate_weight)
    grad_h = None
    if wants_h and grad_through is not None:
        grad_h = nchw(grad_state + grad_through)
    return Found(of_gates, of_candidates, before, reset_states, grad_h)


def input_grads(
    x: Tensor, weight: Tensor, found: Found, wanted: Wanted
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Return the gradients of x, of the input weight and of the bias, from all frames at once."""
    mask = [wanted.x, wanted.input, wanted.bias]
    if not any(mask):
        return None, None, None
    frames = time_first(x, weight.dtype)
    gate_weight, candidate_weight = split(weight)
    of_gates = convolution_backward(frames, found.gates, gate_weight, mask)
    of_candidates = convolution_backward(frames, found.candidates, candidate_weight, mask)
    grad_x = None
    if wanted.x:
        grad_frames = rows(of_gates[0].add_(of_candidates[0])).view(frames.shape)
        grad_x = grad_frames.to(x.dtype).permute(1, 0, 4, 2, 3)
    grad_weight = join(of_gates[1], of_candidates[1]) if wanted.input else None
    grad_bias = torch.cat([of_gates[2], of_candidates[2]]) if wanted.bias else None
    return grad_x, grad_weight, grad_bias


def unbind_output(grad: Tensor | None, num_frames: int) -> Sequence[Tensor | None]:
    """Return T maps, dense but for the distance between clips, from (B, T, C, H, W)."""
    if grad is None:
        return [None] * num_frames
    maps = grad.permute(0, 1, 3, 4, 2)
    dense = maps[0, 0].is_contiguous() if len(maps) else True
    return (maps if dense else maps.contiguous()).unbind(1)


def time_first(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return (B, T, C, H, W) as dense (T, B, H, W, C) in `dtype`, in one copy or none."""
    maps = x.permute(1, 0, 3, 4, 2)
    return maps.to(dtype, memory_format=torch.contiguous_format).contiguous()
