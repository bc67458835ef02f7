"""The gate kernels of the ConvGRU in PyTorch, and a way to run the native op on a CPU with any."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from vidgap_temporal.ops.conv_gru import native
from vidgap_temporal.ops.conv_gru.gates import (
    BlendBackward,
    BlendForward,
    Gates,
    ResetBackward,
    ResetForward,
)


class PlainGates:
    """Computes in float32, or in float64 for it, and rounds what it writes."""

    def reset(self, maps: ResetForward) -> None:
        sums = wide(maps.frame_gates)[..., : maps.state_gates.shape[-1]] + wide(maps.state_gates)
        r, z = (sums + wide(maps.bias)[: sums.shape[-1]]).sigmoid().chunk(2, dim=-1)
        write(r, maps.reset)
        write(z, maps.update)
        write(r * wide(maps.state), maps.reset_state)

    def blend(self, maps: BlendForward) -> None:
        _, of_update, of_candidate = (wide(maps.frame_gates) + wide(maps.bias)).chunk(3, dim=-1)
        if maps.state is None or maps.candidate_gates is None:
            z, c = of_update.sigmoid(), of_candidate.tanh()
            write(z, maps.update)
            h = z * c
        else:
            c = (of_candidate + wide(maps.candidate_gates)).tanh()
            h = torch.lerp(wide(maps.state), c, wide(maps.update))
        write(c, maps.candidate)
        for target in (maps.output, maps.carried, maps.last):
            write(h, target)

    def blend_backward(self, maps: BlendBackward) -> None:
        z, c = wide(maps.update), wide(maps.candidate)
        grads = [g for g in (maps.grad_output, maps.grad_next, maps.grad_through) if g is not None]
        grad = sum((wide(g) for g in grads), torch.zeros_like(z))
        h = torch.zeros_like(z) if maps.state is None else wide(maps.state)
        grad_reset, grad_update = maps.grad_gates.chunk(2, dim=-1)
        if maps.state is None:
            grad_reset.zero_()
        else:
            write(grad * (1 - z), maps.grad_state)
        write(grad * (c - h) * z * (1 - z), grad_update)
        write(grad * z * (1 - c * c), maps.grad_candidate)

    def reset_backward(self, maps: ResetBackward) -> None:
        grad, h, r = wide(maps.grad_reset_state), wide(maps.state), wide(maps.reset)
        write(wide(maps.grad_state) + grad * r, maps.grad_state)
        write(grad * h * r * (1 - r), maps.grad_gates.chunk(2, dim=-1)[0])
        write(r * h, maps.reset_state)
        write(h, maps.before)


def wide(tensor: Tensor) -> Tensor:
    assert tensor.ndim == 1 or all(maps.is_contiguous() for maps in tensor), "not dense"
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def write(values: Tensor, target: Tensor | None) -> None:
    if target is not None:
        target.copy_(values)


@contextlib.contextmanager
def on_cpu(make_gates: Callable[[torch.dtype, torch.dtype], Gates]) -> Iterator[None]:
    """Let the operators of native.py take CPU tensors, with gates for (state, gate) dtypes."""

    def forward(*arguments: object) -> tuple[Tensor, ...]:
        inputs = native.Inputs(*arguments)
        return native.forward(make_gates(inputs.x.dtype, inputs.bias.dtype), inputs)

    def backward(*arguments: object) -> tuple[Tensor, ...]:
        inputs = native.BackwardInputs(*arguments)
        return native.backward(make_gates(inputs.x.dtype, inputs.bias.dtype), inputs)

    library = torch.library.Library("vidgap_temporal", "IMPL")
    library.impl("conv_gru", forward, "CPU")
    library.impl("conv_gru_backward", backward, "CPU")
    try:
        yield
    finally:
        library._destroy()
