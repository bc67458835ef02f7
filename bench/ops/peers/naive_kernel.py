"""Compiles `naive_ms_deform_attn.cu` when it is first wanted, and calls it."""

from __future__ import annotations

import atexit
import ctypes
import functools
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

SOURCE = Path(__file__).parent / "naive_ms_deform_attn.cu"
COMMANDS = {
    "nvcc": ["nvcc", "-O3", "-arch=native", "-shared", "-Xcompiler", "-fPIC"],
    "g++": ["g++", "-O2", "-std=c++17", "-x", "c++", "-shared", "-fPIC"],
}
MAX_LEVELS = 8


class Sizes(ctypes.Structure):
    """B, S, M, D, Q, L, P, then heights and widths of the levels."""

    _fields_ = (
        ("numbers", ctypes.c_int64 * 7),
        ("heights", ctypes.c_int64 * MAX_LEVELS),
        ("widths", ctypes.c_int64 * MAX_LEVELS),
    )


@functools.cache
def compiled(compiler: str) -> tuple[Any, str]:
    """Return the kernel's function and "", or None and why there is none.

    Args:
        compiler: "nvcc" for the GPU that is visible, "g++" for loops on the CPU.
    """
    if shutil.which(compiler) is None:
        return None, f"no {compiler} on the PATH"
    if compiler == "nvcc" and not torch.cuda.is_available():
        return None, "no GPU is visible"
    folder = tempfile.mkdtemp(prefix="vidgap-naive-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    library = Path(folder) / "naive.so"
    command = [*COMMANDS[compiler], str(SOURCE), "-o", str(library)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return None, f"{compiler} failed: {(done.stderr.strip().splitlines() or ['?'])[-1]}"
    return ctypes.CDLL(str(library)).run, ""


def sampler(kernel: Any) -> Callable[..., Tensor]:
    """Return what takes (work, value, locations, weights), differentiable, in float32 inside."""

    def run(work: Any, value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
        wide = (value.float(), locations.float(), weights.float())
        return Naive.apply(kernel, work.levels, *wide).to(value.dtype)

    return run


class Naive(torch.autograd.Function):
    """The op on contiguous float32 tensors."""

    @staticmethod
    def forward(
        ctx: Any,
        kernel: Any,
        levels: list[tuple[int, int]],
        value: Tensor,
        locations: Tensor,
        weights: Tensor,
    ) -> Tensor:
        """Return (B, Q, M*D)."""
        inputs = [tensor.contiguous() for tensor in (value, locations, weights)]
        ctx.kernel, ctx.levels = kernel, levels
        ctx.save_for_backward(*inputs)
        batch, _, heads, channels = value.shape
        output = value.new_empty(batch, locations.shape[1], heads * channels)
        launch(kernel, levels, [*inputs, output, None, None, None, None])
        return output

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        """Return the gradients of value, locations and weights."""
        inputs = list(ctx.saved_tensors)
        found = [torch.zeros_like(tensor) for tensor in inputs]
        launch(ctx.kernel, ctx.levels, [*inputs, None, grads[0].contiguous(), *found])
        return None, None, *found


def launch(kernel: Any, levels: list[tuple[int, int]], tensors: list[Tensor | None]) -> None:
    """Run the kernel on the current stream.

    Args:
        kernel: the compiled function.
        levels: (H_l, W_l).
        tensors: value, locations, weights, output, its gradient, and the three gradients.

    Raises:
        RuntimeError: the launch failed.
    """
    value, locations = tensors[:2]
    assert value is not None
    assert locations is not None
    batch, tokens, heads, channels = value.shape
    _, queries, _, num_levels, points, _ = locations.shape
    sizes = Sizes()
    sizes.numbers[:] = (batch, tokens, heads, channels, queries, num_levels, points)
    for level, (height, width) in enumerate(levels):
        sizes.heights[level], sizes.widths[level] = height, width
    pointers = [0 if tensor is None else tensor.data_ptr() for tensor in tensors]
    addresses = (ctypes.c_void_p * len(pointers))(*pointers)
    stream = torch.cuda.current_stream().cuda_stream if value.is_cuda else 0
    status = kernel(ctypes.byref(sizes), addresses, ctypes.c_void_p(stream))
    if status != 0:
        raise RuntimeError(f"the naive kernel returned CUDA error {status}")
