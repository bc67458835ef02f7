"""The ConvGRU on a GPU: the library's convolutions and csrc/conv_gru between them, as operators.

`vidgap_temporal::conv_gru` and its backward run `sequence.py` with the kernels of
`cuda_gates.py`. They read no tensor's values and wait for nothing, so CUDA graphs can hold them.
The kernels have no atomics: results have the same bits every time, as far as the convolutions do
(`torch.use_deterministic_algorithms` and `torch.backends.cudnn.deterministic` say how far).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from vidgap_temporal.ops.conv_gru.cuda_gates import cuda_gates
from vidgap_temporal.ops.conv_gru.gates import Gates
from vidgap_temporal.ops.conv_gru.sequence import Kept, Wanted
from vidgap_temporal.ops.conv_gru.sequence import backward as sequence_backward
from vidgap_temporal.ops.conv_gru.sequence import forward as sequence_forward

LIBRARY = torch.library.Library("vidgap_temporal", "FRAGMENT")
ARGUMENTS = "Tensor x, Tensor? h, Tensor input_weight, Tensor hidden_weight, Tensor bias"
# Output, last state, and what the backward pass needs of r, z, c: empty without `keep`.
LIBRARY.define(f"conv_gru({ARGUMENTS}, bool keep) -> (Tensor, Tensor, Tensor, Tensor, Tensor)")
LIBRARY.define(
    f"conv_gru_backward(Tensor? grad_output, Tensor? grad_last, {ARGUMENTS}, Tensor output, "
    "Tensor reset, Tensor update, Tensor candidate, bool[] wanted) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor)"
)


def conv_gru(
    x: Tensor, h: Tensor | None, input_weight: Tensor, hidden_weight: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute `vidgap_temporal.ops.conv_gru`, which states and checks the arguments.

    In autocast the convolutions run in its dtype, as those of the reference do, with states in
    the dtype of `x` (float32 where that is another half precision).
    """
    dtype, kind = x.dtype, x.device.type
    if dtype != torch.float64 and torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
    state = x.dtype if x.dtype in (dtype, torch.float32) else torch.float32
    # Once a call: convolutions would turn weights that lie otherwise at every step.
    weights = [
        weight.to(dtype, memory_format=torch.channels_last)
        for weight in (input_weight, hidden_weight)
    ]
    inputs = (x.to(state), None if h is None else h.to(state), *weights, bias.to(dtype))
    keep = torch.is_grad_enabled() and any(i is not None and i.requires_grad for i in inputs)
    output, last, *_ = torch.ops.vidgap_temporal.conv_gru(*inputs, keep)
    return output.to(x.dtype), last.to(x.dtype)


Five = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


def forward(
    gates: Gates,
    x: Tensor,
    h: Tensor | None,
    input_weight: Tensor,
    hidden_weight: Tensor,
    bias: Tensor,
    keep: bool,
) -> Five:
    """Compute the operator with `gates`: states as (B, T, C, H, W) and (B, C, H, W)."""
    weights = (input_weight, hidden_weight, bias)
    kept, last = sequence_forward(gates, x, h, weights, keep)
    return kept.output.permute(0, 1, 4, 2, 3), last.permute(0, 3, 1, 2), *kept[1:]


def backward(
    gates: Gates,
    grad_output: Tensor | None,
    grad_last: Tensor | None,
    x: Tensor,
    h: Tensor | None,
    input_weight: Tensor,
    hidden_weight: Tensor,
    bias: Tensor,
    output: Tensor,
    *kept_and_wanted: Any,
) -> Five:
    """Compute the backward operator with `gates`: a gradient not wanted is an empty tensor."""
    *gate_maps, wanted = kept_and_wanted
    kept = Kept(output.permute(0, 1, 3, 4, 2), *gate_maps)
    grads, weights = (grad_output, grad_last), (input_weight, hidden_weight, bias)
    found = sequence_backward(gates, grads, x, h, weights, kept, Wanted(*wanted))
    return five(x.new_empty(0) if grad is None else grad for grad in found)


def five(tensors: Iterable[Tensor]) -> Five:
    """Tell the type checker how many there are."""
    one, two, three, four, five = tensors
    return one, two, three, four, five


def _forward_cuda(x: Tensor, h: Tensor | None, input_weight: Tensor, *others: Any) -> Five:
    with torch.cuda.device(x.device):
        gates = cuda_gates(x, input_weight.dtype)
        return forward(gates, x, h, input_weight, *others)


def _backward_cuda(
    grad_output: Tensor | None, grad_last: Tensor | None, x: Tensor, *others: Any
) -> Five:
    with torch.cuda.device(x.device):
        gates = cuda_gates(x, others[1].dtype)
        return backward(gates, grad_output, grad_last, x, *others)


def _fake_forward(x: Tensor, h: Tensor | None, input_weight: Tensor, *others: Any) -> Five:
    batch, num_frames, channels, height, width = x.shape
    size = (batch, height, width, channels)
    keep = others[-1]
    gates = num_frames if keep else 0
    resets = gates - 1 if keep and h is None else gates
    return (
        x.new_empty(batch, num_frames, *size[1:]).permute(0, 1, 4, 2, 3),
        x.new_empty(size).permute(0, 3, 1, 2),
        input_weight.new_empty(resets, *size),
        input_weight.new_empty(gates, *size),
        input_weight.new_empty(gates, *size),
    )


def _fake_backward(*arguments: Any) -> Five:
    _, _, x, _, input_weight, hidden_weight, bias, *_, wanted = arguments
    batch, num_frames, channels, height, width = x.shape
    size = (batch, height, width, channels)
    grads = (
        x.new_empty(num_frames, *size).permute(1, 0, 4, 2, 3),
        x.new_empty(size).permute(0, 3, 1, 2),
        torch.empty_like(input_weight, memory_format=torch.channels_last),
        torch.empty_like(hidden_weight, memory_format=torch.channels_last),
        torch.empty_like(bias),
    )
    return five(grad if want else x.new_empty(0) for grad, want in zip(grads, wanted, strict=True))


def _save(ctx: Any, inputs: tuple[Any, ...], output: Five) -> None:
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
