"""The gate kernels of csrc/conv_gru for CUDA, and what keeps them from running."""

from __future__ import annotations

from types import ModuleType

import torch
from torch import Tensor

from vidgap_temporal.ops.backend import Obstacle
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
        """See `gates.Gates`."""
        self._run(
            "reset_forward",
            update,
            *(frame_gates.data_ptr(), state_gates.data_ptr(), bias.data_ptr(), *strided(state)),
            *(address(reset), update.data_ptr(), reset_state.data_ptr()),
        )

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
        """See `gates.Gates`."""
        self._run(
            "blend_forward",
            update,
            *(frame_gates.data_ptr(), address(candidate_gates), bias.data_ptr(), *strided(state)),
            *(update.data_ptr(), address(candidate), *strided(output)),
            *(address(carried), address(last)),
        )

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
        """See `gates.Gates`."""
        self._run(
            "blend_backward",
            update,
            *(*strided(grad_output), address(grad_next), address(grad_through), *strided(state)),
            *(update.data_ptr(), candidate.data_ptr(), grad_gates.data_ptr()),
            *(grad_candidate.data_ptr(), grad_state.data_ptr()),
        )

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
        """See `gates.Gates`."""
        self._run(
            "reset_backward",
            reset,
            *(grad_reset_state.data_ptr(), *strided(state), reset.data_ptr()),
            *(grad_state.data_ptr(), grad_gates.data_ptr()),
            *(reset_state.data_ptr(), before.data_ptr()),
        )

    def _run(self, name: str, like: Tensor, *arguments: int) -> None:
        """Call a kernel on maps of the shape of `like`, (B, H, W, C)."""
        batch, height, width, channels = like.shape
        sizes = (batch, height * width, channels, *self.types)
        status = getattr(self.extension, name)(*sizes, *arguments, self.stream)
        if status != 0:
            said = self.extension.error_message(status)
            raise RuntimeError(f"conv_gru: {said} (status {status} of {name})")


def cuda_gates(x: Tensor, gate: torch.dtype) -> KernelGates:
    """Return the kernels on the current stream of the device of `x`; only without an obstacle."""
    stream = torch.cuda.current_stream(x.device).cuda_stream
    return KernelGates(extension(), x.dtype, gate, stream)


def address(tensor: Tensor | None) -> int:
    """Return where a tensor lies, 0 for None."""
    return 0 if tensor is None else tensor.data_ptr()


def strided(tensor: Tensor | None) -> tuple[int, int]:
    """Return where maps lie and, in elements, how far apart those of two clips are."""
    return (0, 0) if tensor is None else (tensor.data_ptr(), tensor.stride(0))
