"""The ConvGRU over a clip, forward and backward, from convolutions and four gate kernels.

The input half of both convolutions runs once over all frames, and so do the gradients of every
weight and of the frames; a step of the recurrence is two convolutions and two kernels, each way.

Within this file time comes first and channels last: a map is (B, H, W, C), all frames of one kind
are (T, B, H, W, C), so that the maps of a step lie together, as convolutions want them. States are
kept in the dtype of the frames x, all else in the dtype of the weights, which convolutions run in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

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
from vidgap_temporal.ops.conv_gru.gates import (
    BlendBackward,
    BlendForward,
    Gates,
    ResetBackward,
    ResetForward,
)
from vidgap_temporal.ops.conv_gru.weights import GRUWeights


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


class StateGradients(NamedTuple):
    """Gradients of what the op returns, None where it was not used.

    Attributes:
        output: of the states, (B, T, C, H, W).
        last: of the last state, (B, C, H, W).
    """

    output: Tensor | None
    last: Tensor | None


class Wanted(NamedTuple):
    """Which gradients to compute, in the order of the op's arguments."""

    x: bool
    h: bool
    input: bool
    hidden: bool
    bias: bool


class Gradients(NamedTuple):
    """Gradients of the op's arguments, in their shapes; None where they are not wanted."""

    x: Tensor | None
    h: Tensor | None
    input: Tensor | None
    hidden: Tensor | None
    bias: Tensor | None


def forward(
    gates: Gates, x: Tensor, h: Tensor | None, weights: GRUWeights, keep: bool
) -> tuple[Kept, Tensor]:
    """Run over x (B, T, C, H, W) from h (B, C, H, W), of its dtype, or None for zeros.

    Returns:
        What the backward pass needs (without `keep` the output alone, the others are empty), and
        the last state, (B, H, W, C).
    """
    frames = time_first(x, weights.input.dtype)  # (T, B, H, W, C)
    num_frames, *size = frames.shape
    gates_of_all = convolve(frames.flatten(0, 1), weights.input)  # (T*B, H, W, 3C)
    frame_gates = gates_of_all.unflatten(0, frames.shape[:2]).unbind()
    gate_weight, candidate_weight = split(weights.hidden)

    kept = make_kept(x, frames, keep, zero_state=h is None)
    last = x.new_empty(size)
    reset_state = frames.new_empty(size)
    # A convolution copies what is not dense in its own dtype: the kernel writes that as well.
    carried = frames.new_empty(size) if size[0] > 1 or x.dtype != frames.dtype else None

    state, bias = None if h is None else rows(h), weights.bias
    dense = None if state is None else state.to(frames.dtype)
    steps = zip(frame_gates, *gate_maps(kept, frames, keep), kept.output.unbind(1), strict=True)
    for t, (frame, reset, update, candidate, after) in enumerate(steps):
        candidate_gates = None
        if state is not None and dense is not None:
            state_gates = convolve(dense, gate_weight)
            gates.reset(ResetForward(frame, state_gates, bias, state, reset, update, reset_state))
            candidate_gates = convolve(reset_state, candidate_weight)
        read = (frame, candidate_gates, bias, state, update)
        at_end = last if t == num_frames - 1 else None
        gates.blend(BlendForward(*read, candidate, output=after, carried=carried, last=at_end))
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
    grads: StateGradients,
    x: Tensor,
    h: Tensor | None,
    weights: GRUWeights,
    kept: Kept,
    wanted: Wanted,
) -> Gradients:
    """Return the wanted gradients, where `kept` is what `forward` returned for x, h and weights."""
    hidden = split(weights.hidden)
    found = walk_back(gates, grads, h, hidden, kept, wanted.h)
    grad_x, grad_input, grad_bias = input_grads(x, weights.input, found, wanted)
    grad_hidden = None
    if wanted.hidden:
        first = len(found.gates) - len(found.before)  # the step from a zero state has no part
        grad_hidden = join(
            weight_grad(found.before, found.gates[first:], hidden[0]),
            weight_grad(found.reset_states, found.candidates[first:], hidden[1]),
        )
    return Gradients(grad_x, found.h, grad_input, grad_hidden, grad_bias)


class Found(NamedTuple):
    """What the walk back through time gives, frames first.

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
    grads: StateGradients,
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
    grad_outputs = unbind_output(grads.output, num_frames)
    grad_next = None if grads.last is None else rows(grads.last)
    grad_state, grad_through = kept.output.new_empty(size), None
    for t in reversed(range(num_frames)):
        state, grad_gates, grad_candidate = states[t], gate_grads[t], candidate_grads[t]
        read = (grad_outputs[t], grad_next, grad_through, state, updates[t], candidates[t])
        gates.blend_backward(BlendBackward(*read, grad_gates, grad_candidate, grad_state))
        grad_next = grad_state
        if state is None:
            return Found(of_gates, of_candidates, before, reset_states, None)
        i = t - num_frames  # counts from the end, where all have their last frame
        grad_reset_state = convolve_back(grad_candidate, candidate_weight)
        written = (grad_state, grad_gates, *pairs[i])
        gates.reset_backward(ResetBackward(grad_reset_state, state, resets[i], *written))
        if t > 0 or wants_h:
            grad_through = convolve_back(grad_gates, gate_weight)
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
