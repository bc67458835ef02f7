"""The gate kernels of the ConvGRU in PyTorch, and a way to run the native op on a CPU with any."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from vidgap_temporal.ops.conv_gru import native
from vidgap_temporal.ops.conv_gru.gates import Gates


class PlainGates:
    """Computes in float32, or in float64 for it, and rounds what it writes."""

    def reset(
        self,
        frame_gates: Tensor,
        state_gates: Tensor,
        bias: Tensor,
        state: Tensor,
        reset: Tensor | None,
        update: Tensor,
        reset_state: Tensor,
    ) -> None:
        sums = wide(frame_gates)[..., : state_gates.shape[-1]] + wide(state_gates)
        r, z = (sums + wide(bias)[: sums.shape[-1]]).sigmoid().chunk(2, dim=-1)
        write(r, reset)
        write(z, update)
        write(r * wide(state), reset_state)

    def blend(
        self,
        frame_gates: Tensor,
        candidate_gates: Tensor | None,
        bias: Tensor,
        state: Tensor | None,
        update: Tensor,
        candidate: Tensor | None,
        output: Tensor,
        carried: Tensor | None,
        last: Tensor | None,
    ) -> None:
        _, of_update, of_candidate = (wide(frame_gates) + wide(bias)).chunk(3, dim=-1)
        if state is None or candidate_gates is None:
            z, c = of_update.sigmoid(), of_candidate.tanh()
            write(z, update)
            h = z * c
        else:
            c = (of_candidate + wide(candidate_gates)).tanh()
            h = torch.lerp(wide(state), c, wide(update))
        write(c, candidate)
        for target in (output, carried, last):
            write(h, target)

    def blend_backward(
        self,
        grad_output: Tensor | None,
        grad_next: Tensor | None,
        grad_through: Tensor | None,
        state: Tensor | None,
        update: Tensor,
        candidate: Tensor,
        grad_gates: Tensor,
        grad_candidate: Tensor,
        grad_state: Tensor,
    ) -> None:
        z, c = wide(update), wide(candidate)
        grads = [g for g in (grad_output, grad_next, grad_through) if g is not None]
        grad = sum((wide(g) for g in grads), torch.zeros_like(z))
        h = torch.zeros_like(z) if state is None else wide(state)
        grad_reset, grad_update = grad_gates.chunk(2, dim=-1)
        if state is None:
            grad_reset.zero_()
        else:
            write(grad * (1 - z), grad_state)
        write(grad * (c - h) * z * (1 - z), grad_update)
        write(grad * z * (1 - c * c), grad_candidate)

    def reset_backward(
        self,
        grad_reset_state: Tensor,
        state: Tensor,
        reset: Tensor,
        grad_state: Tensor,
        grad_gates: Tensor,
        reset_state: Tensor,
        before: Tensor,
    ) -> None:
        grad, h, r = wide(grad_reset_state), wide(state), wide(reset)
        write(wide(grad_state) + grad * r, grad_state)
        write(grad * h * r * (1 - r), grad_gates.chunk(2, dim=-1)[0])
        write(r * h, reset_state)
        write(h, before)


def wide(tensor: Tensor) -> Tensor:
    assert tensor.ndim == 1 or all(maps.is_contiguous() for maps in tensor), "not dense"
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def write(values: Tensor, target: Tensor | None) -> None:
    if target is not None:
        target.copy_(values)


@contextlib.contextmanager
def on_cpu(make_gates: Callable[[torch.dtype, torch.dtype], Gates]) -> Iterator[None]:
    """Let the operators of native.py take CPU tensors, with gates for (state, gate) dtypes."""

    def forward(x: Tensor, h: Tensor | None, weight: Tensor, *others: object) -> native.Five:
        return native.forward(make_gates(x.dtype, weight.dtype), x, h, weight, *others)

    def backward(*arguments: object) -> native.Five:
        x, weight = arguments[2], arguments[4]
        return native.backward(make_gates(x.dtype, weight.dtype), *arguments)

    library = torch.library.Library("vidgap_temporal", "IMPL")
    library.impl("conv_gru", forward, "CPU")
    library.impl("conv_gru_backward", backward, "CPU")
    try:
        yield
    finally:
        library._destroy()
