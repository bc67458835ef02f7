"""The gate kernels of csrc/conv_gru for CUDA, and what keeps them from running."""

from __future__ import annotations

from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor

from vidgap_temporal.ops.backend import Obstacle
from vidgap_temporal.ops.conv_gru.gates import (
    STRIDED,
    BlendBackward,
    BlendForward,
    ResetBackward,
    ResetForward,
)
from vidgap_temporal.ops.extension import DTYPES, extension
from vidgap_temporal.ops.extension import obstacle as obstacle_of_extension


def obstacle(device: torch.device, dtype: torch.dtype) -> Obstacle | None:
    """Say what keeps the kernels from running on `device` with states of `dtype`."""
    if device.type == "cpu":
        return Obstacle(
            "runs on GPUs; on a CPU the convolutions of the reference are already at the "
            "machine's ceiling"
        )
    return obstacle_of_extension(device, dtype)


class KernelGates:
    """The `gates.Gates` of an extension module, for one stream of the current device.

    Args:
        extension: the module that csrc/conv_gru/bindings.cpp makes.
        state: the dtype of states and the gradients of states and outputs.
        gate: the dtype of everything else; a kernel takes (state, gate) where both are equal, or
            float32 states with half-precision gates.
        stream: a cudaStream_t.
    """

    def __init__(
        self, extension: ModuleType, state: torch.dtype, gate: torch.dtype, stream: int
    ) -> None:
        self.extension = extension
        self.types = (DTYPES[state], DTYPES[gate])
        self.stream = stream

    def reset(self, maps: ResetForward) -> None:
        self._run("reset_forward", maps, maps.update)

    def blend(self, maps: BlendForward) -> None:
        self._run("blend_forward", maps, maps.update)

    def blend_backward(self, maps: BlendBackward) -> None:
        self._run("blend_backward", maps, maps.update)

    def reset_backward(self, maps: ResetBackward) -> None:
        self._run("reset_backward", maps, maps.reset)

    def _run(self, name: str, maps: NamedTuple, like: Tensor) -> None:
        """Call a kernel on maps of the shape of `like`, (B, H, W, C)."""
        batch, height, width, channels = like.shape
        arguments = [batch, height * width, channels, *self.types]
        for field, tensor in zip(maps._fields, maps, strict=True):
            arguments.append(0 if tensor is None else tensor.data_ptr())
            if field in STRIDED:  # how far apart clips lie, in elements
                arguments.append(0 if tensor is None else tensor.stride(0))
        status = getattr(self.extension, name)(*arguments, self.stream)
        if status != 0:
            said = self.extension.error_message(status)
            raise RuntimeError(f"conv_gru: {said} (status {status} of {name})")


def cuda_gates(x: Tensor, gate: torch.dtype) -> KernelGates:
    """Return the kernels on the current stream of the device of `x`; only without an obstacle."""
    stream = torch.cuda.current_stream(x.device).cuda_stream
    return KernelGates(extension(), x.dtype, gate, stream)
