"""What an op's benchmark consists of: work, inputs, implementations, and the least cost."""

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
        dtype: of values and weights; places of samples are float32 at least.
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
        """Places of all maps of one frame."""
        return sum(height * width for height, width in self.levels)


@dataclass(frozen=True)
class Contender:
    """An implementation.

    Attributes:
        name: as the table has it.
        run: inputs to the output, differentiable by autograd; a training step runs backward itself
            and gives the loss and gradients by name.
        around: what must hold while it runs, its backward pass too.
        stages: of a network, whose times are of interest.
    """

    name: str
    run: Callable[[Tensors], Any]
    around: Callable[[], AbstractContextManager[object]] = nullcontext
    stages: Stages = field(default_factory=dict)


@dataclass(frozen=True)
class Field:
    """Who takes part in some work.

    Attributes:
        contenders: who can run here.
        absent: why others cannot, by name.
    """

    contenders: list[Contender]
    absent: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cost:
    """The least that any implementation does.

    Attributes:
        bytes: inputs read once, outputs written once.
        flops: multiplications and additions.
        lines: cache lines that a gather looks up in L1, each on its own; 0: no gather.
    """

    bytes: float
    flops: float
    lines: float = 0


@dataclass(frozen=True)
class Op:
    """A benchmark.

    Attributes:
        name: as the table has it.
        reference: the contender that is the definition.
        official: the contender that stands for what others use, for a second ratio.
        inputs: work and seed to inputs.
        field: who takes part.
        oracle: inputs in float64 to what all must agree with.
        cost: of work, for the forward pass or (True) both.
        passes: which of `RUN` are timed.
        tolerance: ||output - oracle|| / ||oracle|| that still is agreement, gradients too.
        rotates: whether a GPU's cache could hold all that a call reads, so that calls must take
            turns with several inputs.
        sizes: of the frames, where none are asked for.
    """

    name: str
    reference: str
    official: str
    inputs: Callable[[Work, int], Tensors]
    field: Callable[[Work], Field]
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
    """Run without a graph for gradients (a training step makes its own)."""
    with torch.no_grad(), contender.around():
        return contender.run(tensors)


def forward_backward(contender: Contender, tensors: Tensors) -> tuple[Tensor, ...]:
    """Run, and return the gradients for a gradient of ones."""
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
