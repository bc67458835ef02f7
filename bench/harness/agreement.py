"""Whether implementations agree with float64; those that do not are not timed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.harness.contender import Contender, Op, Tensors, Work, differentiable

SMALL = (64, 96)
FRAMES = 2


@dataclass(frozen=True)
class Verdict:
    """The error of an implementation against float64.

    Attributes:
        worst: the largest ||x - float64|| / ||float64|| of output and gradients; None: it raised.
        where: the tensor with the largest error, or the exception.
        agrees: whether it may be timed.
    """

    worst: float | None
    where: str
    agrees: bool

    def __str__(self) -> str:
        if self.worst is None:
            return f"FAILS: {self.where}"
        return f"{'agrees' if self.agrees else 'DISAGREES'}: {self.worst:.1e} ({self.where})"


def verdicts(op: Op, work: Work) -> dict[str, Verdict]:
    """Compare every contender with the reference in float64, on a small case."""
    dtype = work.dtype
    tensors = op.inputs(work, 0)
    oracle = Contender("float64", lambda inputs: op.oracle(work, inputs))
    expected = results(oracle, doubled(tensors), dtype)
    return {
        contender.name: verdict(contender, tensors, expected, dtype, op.tolerance[dtype])
        for contender in op.contenders(work).available
    }


def verdict(
    contender: Contender, tensors: Tensors, expected: Tensors, dtype: torch.dtype, tolerance: float
) -> Verdict:
    """Compare one contender with what is expected of it."""
    try:
        got = results(contender, tensors, dtype)
    except Exception as error:  # whatever compilers raise: the others are still timed
        return Verdict(None, first_line(error), False)
    errors = {name: ratio(got[name], expected[name]) for name in expected}
    where = max(errors, key=lambda name: (math.isnan(errors[name]), errors[name]))
    return Verdict(errors[where], where, errors[where] <= tolerance)


def results(contender: Contender, tensors: Tensors, dtype: torch.dtype) -> Tensors:
    """Return the output and all gradients, for a random gradient that `dtype` can hold.

    A contender that computes gradients itself returns them by name.
    """
    names = differentiable(tensors)
    with contender.around(), torch.set_grad_enabled(bool(names)):
        output = contender.run(tensors)
        if not names:
            return output if isinstance(output, dict) else {"output": output}
        noise = torch.randn(output.shape, generator=torch.Generator().manual_seed(1))
        inputs = [tensors[name] for name in names]
        gradients = torch.autograd.grad(output, inputs, noise.to(dtype).to(output))
    named = {f"gradient of {n}": g for n, g in zip(names, gradients, strict=True)}
    return {"output": output.detach()} | named


def doubled(tensors: Tensors) -> Tensors:
    """Return the same numbers in float64."""
    return {
        name: tensor.detach().double().requires_grad_(tensor.requires_grad)
        for name, tensor in tensors.items()
    }


def ratio(got: Tensor, expected: Tensor) -> float:
    """Return ||got - expected|| / ||expected||."""
    got, expected = got.double(), expected.double()
    return float((got - expected).norm() / expected.norm())


def first_line(error: BaseException) -> str:
    """Return what an exception says, in one line."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"
