"""The ConvGRU on a GPU: the library's convolutions and csrc/conv_gru between them, as operators.

`vidgap_temporal::conv_gru` and its backward run `sequence.py` with the kernels of
`cuda_gates.py`. They read no tensor's values and wait for nothing, so CUDA graphs can hold them.
The kernels have no atomics: results have the same bits every time, as far as the convolutions do
(`torch.use_deterministic_algorithms` and `torch.backends.cudnn.deterministic` say how far).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from vidgap_temporal.ops.conv_gru import sequence
from vidgap_temporal.ops.conv_gru.cuda_gates import cuda_gates
from vidgap_temporal.ops.conv_gru.gates import Gates
from vidgap_temporal.ops.conv_gru.sequence import Kept, StateGradients, Wanted
from vidgap_temporal.ops.conv_gru.weights import GRUWeights

LIBRARY = torch.library.Library("vidgap_temporal", "FRAGMENT")
ARGUMENTS = "Tensor x, Tensor? h, Tensor input_weight, Tensor hidden_weight, Tensor bias"
# Output, last state, and what the backward pass needs of r, z, c: empty without `keep`.
LIBRARY.define(f"conv_gru({ARGUMENTS}, bool keep) -> (Tensor, Tensor, Tensor, Tensor, Tensor)")
LIBRARY.define(
    f"conv_gru_backward(Tensor? grad_output, Tensor? grad_last, {ARGUMENTS}, Tensor output, "
    "Tensor reset, Tensor update, Tensor candidate, bool[] wanted) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor)"
)


class Inputs(NamedTuple):
    """Arguments of the operator `conv_gru`; `keep` is whether a backward pass may follow."""

    x: Tensor
    h: Tensor | None
    input_weight: Tensor
    hidden_weight: Tensor
    bias: Tensor
    keep: bool


class Outputs(NamedTuple):
    """What it returns; the gates r, z, c are as in `Kept`, empty without `keep`.

    Attributes:
        output: states after each frame, (B, T, C, H, W).
        last: the last of them, (B, C, H, W).
    """

    output: Tensor
    last: Tensor
    reset: Tensor
    update: Tensor
    candidate: Tensor


class BackwardInputs(NamedTuple):
    """Arguments of the operator `conv_gru_backward`; `wanted` has the order of `Wanted`."""

    grad_output: Tensor | None
    grad_last: Tensor | None
    x: Tensor
    h: Tensor | None
    input_weight: Tensor
    hidden_weight: Tensor
    bias: Tensor
    output: Tensor
    reset: Tensor
    update: Tensor
    candidate: Tensor
    wanted: list[bool]


def conv_gru(x: Tensor, h: Tensor | None, weights: GRUWeights) -> tuple[Tensor, Tensor]:
    """Compute `vidgap_temporal.ops.conv_gru`, which states and checks the arguments.

    In autocast the convolutions run in its dtype, as those of the reference do, with states in
    the dtype of `x` (float32 where that is another half precision).
    """
    dtype, kind = x.dtype, x.device.type
    if dtype != torch.float64 and torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
    state = x.dtype if x.dtype in (dtype, torch.float32) else torch.float32
    # Once a call: convolutions would turn weights that lie otherwise at every step.
    kernels = [
        weight.to(dtype, memory_format=torch.channels_last)
        for weight in (weights.input, weights.hidden)
    ]
    inputs = (x.to(state), None if h is None else h.to(state), *kernels, weights.bias.to(dtype))
    keep = torch.is_grad_enabled() and any(i is not None and i.requires_grad for i in inputs)
    output, last, *_ = torch.ops.vidgap_temporal.conv_gru(*inputs, keep)
    return output.to(x.dtype), last.to(x.dtype)


def forward(gates: Gates, inputs: Inputs) -> Outputs:
    """Compute the operator with `gates`."""
    weights = GRUWeights(inputs.input_weight, inputs.hidden_weight, inputs.bias)
    kept, last = sequence.forward(gates, inputs.x, inputs.h, weights, inputs.keep)
    return Outputs(kept.output.permute(0, 1, 4, 2, 3), last.permute(0, 3, 1, 2), *kept[1:])


def backward(gates: Gates, inputs: BackwardInputs) -> tuple[Tensor, ...]:
    """Compute the backward operator with `gates`: five gradients, empty where not wanted."""
    x = inputs.x
    weights = GRUWeights(inputs.input_weight, inputs.hidden_weight, inputs.bias)
    output = inputs.output.permute(0, 1, 3, 4, 2)
    kept = Kept(output, inputs.reset, inputs.update, inputs.candidate)
    grads, wanted = StateGradients(inputs.grad_output, inputs.grad_last), Wanted(*inputs.wanted)
    found = sequence.backward(gates, grads, x, inputs.h, weights, kept, wanted)
    return tuple(x.new_empty(0) if grad is None else grad for grad in found)


def _forward_cuda(*arguments: Any) -> Outputs:
    inputs = Inputs(*arguments)
    with torch.cuda.device(inputs.x.device):
        return forward(cuda_gates(inputs.x, inputs.input_weight.dtype), inputs)


def _backward_cuda(*arguments: Any) -> tuple[Tensor, ...]:
    inputs = BackwardInputs(*arguments)
    with torch.cuda.device(inputs.x.device):
        return backward(cuda_gates(inputs.x, inputs.input_weight.dtype), inputs)


def _fake_forward(*arguments: Any) -> Outputs:
    inputs = Inputs(*arguments)
    batch, num_frames, channels, height, width = inputs.x.shape
    size = (batch, height, width, channels)
    gates = num_frames if inputs.keep else 0
    resets = gates - 1 if inputs.keep and inputs.h is None else gates
    return Outputs(
        inputs.x.new_empty(batch, num_frames, *size[1:]).permute(0, 1, 4, 2, 3),
        inputs.x.new_empty(size).permute(0, 3, 1, 2),
        *(inputs.bias.new_empty(length, *size) for length in (resets, gates, gates)),
    )


def _fake_backward(*arguments: Any) -> tuple[Tensor, ...]:
    inputs = BackwardInputs(*arguments)
    x = inputs.x
    batch, num_frames, channels, height, width = x.shape
    size = (batch, height, width, channels)
    grads = (
        x.new_empty(num_frames, *size).permute(1, 0, 4, 2, 3),
        x.new_empty(size).permute(0, 3, 1, 2),
        torch.empty_like(inputs.input_weight, memory_format=torch.channels_last),
        torch.empty_like(inputs.hidden_weight, memory_format=torch.channels_last),
        torch.empty_like(inputs.bias),
    )
    wanted = zip(grads, inputs.wanted, strict=True)
    return tuple(grad if want else x.new_empty(0) for grad, want in wanted)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *tensors, _ = inputs
    states, _, *gates = output
    ctx.mark_non_differentiable(*gates)
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*tensors, states, *gates)


def _gradients(
    ctx: Any, grad_output: Tensor | None, grad_last: Tensor | None, *_: None
) -> tuple[Tensor | None, ...]:
    wanted = list(ctx.needs_input_grad[:5])
    found = torch.ops.vidgap_temporal.conv_gru_backward(
        grad_output, grad_last, *ctx.saved_tensors, wanted
    )
    return *(grad if want else None for grad, want in zip(found, wanted, strict=True)), None


def _no_second_derivative(*_: Any) -> None:
    raise RuntimeError(
        "conv_gru: the native backend has no second derivative; use backend='reference'"
    )


LIBRARY.impl("conv_gru", _forward_cuda, "CUDA")
LIBRARY.impl("conv_gru_backward", _backward_cuda, "CUDA")
torch.library.register_fake("vidgap_temporal::conv_gru", _fake_forward, lib=LIBRARY)
torch.library.register_fake("vidgap_temporal::conv_gru_backward", _fake_backward, lib=LIBRARY)
torch.library.register_autograd(
    "vidgap_temporal::conv_gru", _gradients, setup_context=_save, lib=LIBRARY
)
torch.library.register_autograd(
    "vidgap_temporal::conv_gru_backward", _no_second_derivative, lib=LIBRARY
)
