"""Multi-scale deformable attention in C++ and CUDA (csrc/ms_deform_attn), as operators of torch.

Four operators in the namespace `vidgap_segmenter`: each op of the contract, and its backward.
Here are their schemas, fake kernels and autograd formulas; arguments are checked before.

On a CPU the result has the same bits for any number of threads. On a GPU the gradient of `value`
is summed by atomics, in no fixed order, and `torch.use_deterministic_algorithms` refuses it.
Autocast casts nothing here: values and weights may have any precision, locations keep theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from vidgap_segmenter.ops.ms_deform_attn.call import Call

LIBRARY = torch.library.Library("vidgap_segmenter", "DEF")
PLAIN = "Tensor value, SymInt[] shapes, Tensor locations, Tensor weights"
FUSED = "Tensor value, SymInt[] shapes, Tensor reference, Tensor offsets, Tensor logits"
LIBRARY.define(f"ms_deform_attn({PLAIN}) -> Tensor")
LIBRARY.define(f"ms_deform_attn_backward(Tensor grad, {PLAIN}) -> (Tensor, Tensor, Tensor)")
LIBRARY.define(f"ms_deform_attn_fused({FUSED}) -> Tensor")
LIBRARY.define(
    f"ms_deform_attn_fused_backward(Tensor grad, {FUSED}, bool reference_grad) "
    "-> (Tensor, Tensor, Tensor, Tensor)"
)


def ms_deform_attn(
    value: Tensor, shapes: Sequence[tuple[int, int]], locations: Tensor, weights: Tensor
) -> Tensor:
    """Compute the op of the same name, whose contract states and checks the arguments."""
    sides = [side for shape in shapes for side in shape]
    return torch.ops.vidgap_segmenter.ms_deform_attn(value, sides, locations, weights)


def ms_deform_attn_fused(
    value: Tensor,
    shapes: Sequence[tuple[int, int]],
    reference: Tensor,
    offsets: Tensor,
    logits: Tensor,
) -> Tensor:
    """Compute the op of the same name, whose contract states and checks the arguments."""
    sides = [side for shape in shapes for side in shape]
    return torch.ops.vidgap_segmenter.ms_deform_attn_fused(value, sides, reference, offsets, logits)


def _forward(value: Tensor, shapes: list[int], locations: Tensor, weights: Tensor) -> Tensor:
    return Call("ms_deform_attn", value, shapes, locations, weights).forward()


def _forward_fused(
    value: Tensor, shapes: list[int], reference: Tensor, offsets: Tensor, logits: Tensor
) -> Tensor:
    return Call("ms_deform_attn_fused", value, shapes, offsets, logits, reference).forward()


def _backward(
    grad: Tensor, value: Tensor, shapes: list[int], locations: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    call = Call("ms_deform_attn", value, shapes, locations, weights)
    value_grad = torch.empty_like(call.value, dtype=call.coordinates)
    locations_grad = torch.empty_like(call.locations)
    weights_grad = torch.empty_like(call.weights)
    call.backward(grad, value_grad, locations_grad, None, weights_grad)
    return value_grad.to(value.dtype), locations_grad, weights_grad.to(weights.dtype)


def _backward_fused(
    grad: Tensor,
    value: Tensor,
    shapes: list[int],
    reference: Tensor,
    offsets: Tensor,
    logits: Tensor,
    reference_grad: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    call = Call("ms_deform_attn_fused", value, shapes, offsets, logits, reference)
    value_grad = torch.empty_like(call.value, dtype=call.coordinates)
    locations_grad = (
        torch.empty_like(call.locations, dtype=call.coordinates) if reference_grad else None
    )
    offsets_grad, logits_grad = torch.empty_like(call.locations), torch.empty_like(call.weights)
    call.backward(grad, value_grad, locations_grad, offsets_grad, logits_grad)
    return (
        value_grad.to(value.dtype),
        reference.new_empty(0)
        if locations_grad is None
        else _reference_grad(locations_grad, offsets, reference),
        offsets_grad.to(offsets.dtype),
        logits_grad.to(logits.dtype),
    )


def _reference_grad(locations_grad: Tensor, offsets: Tensor, reference: Tensor) -> Tensor:
    """Sum gradients of locations (B, Q, M, L, P, 2) to the reference's, (B, Q, L, 2 or 4)."""
    centre = locations_grad.sum((2, 4))
    if reference.shape[-1] == 2:
        return centre
    # Where an offset is not finite, neither is its location, whose gradient is 0 already.
    shares = offsets.to(locations_grad.dtype).nan_to_num(0.0, 0.0, 0.0) / (2 * offsets.shape[4])
    return torch.cat((centre, (locations_grad * shares).sum((2, 4))), dim=-1)


def _fake_forward(value: Tensor, _shapes: list[int], locations: Tensor, _weights: Tensor) -> Tensor:
    batch, _, heads, channels = value.shape
    return value.new_empty(batch, locations.shape[1], heads * channels)


def _fake_forward_fused(
    value: Tensor, shapes: list[int], _reference: Tensor, offsets: Tensor, logits: Tensor
) -> Tensor:
    return _fake_forward(value, shapes, offsets, logits)


def _fake_backward(
    _grad: Tensor, value: Tensor, _shapes: list[int], locations: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return _empty(value), _empty(locations), _empty(weights)


def _fake_backward_fused(
    _grad: Tensor,
    value: Tensor,
    _shapes: list[int],
    reference: Tensor,
    offsets: Tensor,
    logits: Tensor,
    reference_grad: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    reference_like = _empty(reference) if reference_grad else reference.new_empty(0)
    return _empty(value), reference_like, _empty(offsets), _empty(logits)


def _empty(tensor: Tensor) -> Tensor:
    return tensor.new_empty(tensor.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001 - torch names it
    value, ctx.shapes, *others = inputs
    ctx.save_for_backward(value, *others)


def _gradients(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    value, locations, weights = ctx.saved_tensors
    ops = torch.ops.vidgap_segmenter
    found = ops.ms_deform_attn_backward(grad, value, ctx.shapes, locations, weights)
    return found[0], None, *found[1:]


def _gradients_fused(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    value, reference, offsets, logits = ctx.saved_tensors
    wanted = ctx.needs_input_grad[2]
    value_grad, reference_grad, *others = torch.ops.vidgap_segmenter.ms_deform_attn_fused_backward(
        grad, value, ctx.shapes, reference, offsets, logits, wanted
    )
    return value_grad, None, reference_grad if wanted else None, *others


def _no_second_derivative(*_: Any) -> None:
    raise RuntimeError(
        "ms_deform_attn: the native backend has no second derivative; use backend='reference'"
    )


IMPLEMENTATIONS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "ms_deform_attn": (_forward, _fake_forward),
    "ms_deform_attn_fused": (_forward_fused, _fake_forward_fused),
    "ms_deform_attn_backward": (_backward, _fake_backward),
    "ms_deform_attn_fused_backward": (_backward_fused, _fake_backward_fused),
}
for _name, (_kernel, _fake) in IMPLEMENTATIONS.items():
    for _device in ("CPU", "CUDA"):
        LIBRARY.impl(_name, _kernel, _device)
    torch.library.register_fake(f"vidgap_segmenter::{_name}", _fake, lib=LIBRARY)
for _name, _formula in (("", _gradients), ("_fused", _gradients_fused)):
    _op = f"vidgap_segmenter::ms_deform_attn{_name}"
    torch.library.register_autograd(_op, _formula, setup_context=_save, lib=LIBRARY)
    torch.library.register_autograd(f"{_op}_backward", _no_second_derivative, lib=LIBRARY)
