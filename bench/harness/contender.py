"""The parts of an op's benchmark: work, inputs, contenders, and the least cost."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor

from bench.harness.stages import Stages

Tensors: TypeAlias = "dict[str, Tensor]"
"""Inputs by name; those that require a gradient get one in "forward+backward"."""

STRIDES = (32, 16, 8)
"""Of the maps, coarse to fine, as the pixel decoder orders them."""

CHANNELS, HEADS = 256, 8

PASSES = ("forward", "forward+backward")
STEP = "training step"

SIZES = ((384, 640), (480, 864))
"""(H, W) of the frames whose maps kernels work on."""


@dataclass(frozen=True)
class Work:
    """One thing to be timed.

    Attributes:
        size: (H, W) of the frames; for kernels multiples of 32.
        frames: T of the one clip.
        dtype: of values and weights; sampling locations are float32 at least.
        device: "cpu" or "cuda".
        compiled: whether networks also take part compiled.
    """

    size: tuple[int, int]
    frames: int
    dtype: torch.dtype
    device: str
    compiled: bool = False

    @property
    def levels(self) -> list[tuple[int, int]]:
        """(H_l, W_l) of the maps, coarse to fine."""
        return [(self.size[0] // stride, self.size[1] // stride) for stride in STRIDES]

    def generator(self, seed: int) -> torch.Generator:
        """Return a generator on the device."""
        return torch.Generator(self.device).manual_seed(seed)

    @property
    def tokens(self) -> int:
        """Positions of all maps of one frame, S."""
        return sum(height * width for height, width in self.levels)


@dataclass(frozen=True)
class Contender:
    """An implementation.

    Attributes:
        name: in the table.
        run: from inputs to the output, differentiable by autograd; a training step runs backward
            itself and returns the loss and gradients by name.
        around: context of the run and its backward pass.
        stages: of a network, timed one by one.
    """

    name: str
    run: Callable[[Tensors], Any]
    around: Callable[[], AbstractContextManager[object]] = nullcontext
    stages: Stages = field(default_factory=dict)


@dataclass(frozen=True)
class Contenders:
    """The contenders for some work.

    Attributes:
        available: those that run here.
        absent: why others do not, by name.
    """

    available: list[Contender]
    absent: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cost:
    """The least work of any implementation.

    Attributes:
        bytes: inputs read once, outputs written once.
        flops: multiplications and additions.
        lines: look-ups of cache lines in L1 by a gather; 0: no gather.
    """

    bytes: float
    flops: float
    lines: float = 0


@dataclass(frozen=True)
class Op:
    """An op, or a network, to benchmark.

    Attributes:
        name: in the table.
        reference: name of the contender that defines the op.
        official: name of the contender that others use, for a second ratio.
        inputs: from work and seed to inputs.
        contenders: of some work.
        oracle: from inputs in float64 to the output that all must agree with.
        cost: of work, for the forward pass or (True) both.
        passes: which of `RUN` are timed.
        tolerance: the largest ||x - oracle|| / ||oracle|| of output and gradients.
        rotates: whether calls take turns with several inputs, as a GPU's cache could hold all
            that one reads.
        sizes: (H, W) of the frames by default.
    """

    name: str
    reference: str
    official: str
    inputs: Callable[[Work, int], Tensors]
    contenders: Callable[[Work], Contenders]
    oracle: Callable[[Work, Tensors], Any]
    cost: Callable[[Work, bool], Cost]
    tolerance: dict[torch.dtype, float]
    passes: tuple[str, ...] = PASSES
    rotates: bool = True
    sizes: tuple[tuple[int, int], ...] = SIZES


def differentiable(tensors: Tensors) -> list[str]:
    """Return the names of the inputs that get gradients."""
    return [name for name, tensor in tensors.items() if tensor.requires_grad]


def forward(contender: Contender, tensors: Tensors) -> Any:
    """Run without autograd (a training step turns it on itself)."""
    with torch.no_grad(), contender.around():
        return contender.run(tensors)


def forward_backward(contender: Contender, tensors: Tensors) -> tuple[Tensor, ...]:
    """Run forward and backward from a gradient of ones; return the gradients."""
    wanted = [tensors[name] for name in differentiable(tensors)]
    with contender.around():
        output = contender.run(tensors)
        return torch.autograd.grad(output, wanted, torch.ones_like(output))


RUN: dict[str, Callable[[Contender, Tensors], Any]] = {
    PASSES[0]: forward,
    PASSES[1]: forward_backward,
    STEP: forward,
}


def importable(name: str) -> tuple[Any, str]:
    """Return a module and "", or None and why it cannot be imported."""
    try:
        return importlib.import_module(name), ""
    except ImportError as error:
        return None, f"not importable: {error}"
