"""The ConvGRU over the frames of a clip, at strides 8, 16 and 32, one set of weights each.

reference    ours, in PyTorch: the input half of both convolutions once for all frames
plain        as RobustVideoMatting structures it: for each frame concatenate input and state,
             convolve, sigmoid, split, concatenate, convolve, tanh, blend
native       ours: what lies between two convolutions is one CUDA kernel

All start from a given state, so that all do the same work. On a GPU the column of the graph's
replay shows what is left of each without the launches.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.harness.benchmark import Defaults, OpBenchmark, quick_defaults
from bench.harness.contender import (
    CHANNELS,
    STRIDES,
    Contender,
    Contenders,
    Cost,
    Op,
    Tensors,
    Work,
)
from vidgap_temporal.ops import GRUWeights, conv_gru

KERNEL = 3
PARTS = ("x", "h", "input", "hidden", "bias")
TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 3e-2}

Layer = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
"""x, h, input, hidden, bias (see `conv_gru`) to the states (B, T, C, H, W)."""


def inputs(work: Work, seed: int) -> Tensors:
    """Return `PARTS` for each scale: frames and states as if normalised, weights as initialised."""
    generator = work.generator(seed)
    deviation = (KERNEL**2 * CHANNELS) ** -0.5
    weight = (3 * CHANNELS, CHANNELS, KERNEL, KERNEL)
    found = {}
    for stride, size in zip(STRIDES, work.levels, strict=True):
        shapes = ((1, work.frames, CHANNELS, *size), (1, CHANNELS, *size), weight, weight)
        scales = (1.0, 1.0, deviation, deviation, 1.0)
        for part, shape, scale in zip(PARTS, (*shapes, (3 * CHANNELS,)), scales, strict=True):
            tensor = torch.randn(shape, generator=generator, device=work.device) * scale
            found[f"{part}{stride}"] = tensor.to(work.dtype).requires_grad_()
    return found


def each_scale(layer: Layer) -> Callable[[Tensors], Tensor]:
    """Return a function that runs a layer on all scales, its outputs (B, T, C, S) side by side."""

    def run(tensors: Tensors) -> Tensor:
        outputs = [layer(*(tensors[f"{part}{stride}"] for part in PARTS)) for stride in STRIDES]
        return torch.cat([states.flatten(3) for states in outputs], dim=3)

    return run


def ours(backend: str) -> Layer:
    """Return our op on a backend."""

    def layer(x: Tensor, h: Tensor, input_: Tensor, hidden: Tensor, bias: Tensor) -> Tensor:
        weights = GRUWeights(input_, hidden, bias)
        return conv_gru(x, h, weights, backend=backend)[0]  # type: ignore[arg-type]  # a name

    return layer


def plain(x: Tensor, h: Tensor, input_: Tensor, hidden: Tensor, bias: Tensor) -> Tensor:
    """Step through the frames with both convolutions over input and state together."""
    both = torch.cat([input_, hidden], dim=1)  # (3C, 2C, 3, 3)
    gate_weight, candidate_weight = both.tensor_split([2 * CHANNELS])
    gate_bias, candidate_bias = bias.tensor_split([2 * CHANNELS])
    states = []
    for frame in x.unbind(1):
        gates = F.conv2d(torch.cat([frame, h], dim=1), gate_weight, gate_bias, padding=1)
        r, z = gates.sigmoid().split(CHANNELS, dim=1)
        joined = torch.cat([frame, r * h], dim=1)
        c = F.conv2d(joined, candidate_weight, candidate_bias, padding=1).tanh()
        h = (1 - z) * h + z * c
        states.append(h)
    return torch.stack(states, dim=1)


def contenders(work: Work) -> Contenders:
    """Return the contenders."""
    from vidgap_temporal.ops.conv_gru import obstacles

    found = Contenders(
        [
            Contender("reference", each_scale(ours("reference"))),
            Contender("plain", each_scale(plain)),
        ]
    )
    obstacle = obstacles(torch.device(work.device))["native"]
    if obstacle is None:
        found.available.append(Contender("native", each_scale(ours("native"))))
    else:
        found.absent["native"] = str(obstacle)
    return found


def oracle(_: Work, tensors: Tensors) -> Tensor:
    """Return the reference's output."""
    return each_scale(ours("reference"))(tensors)


def cost(work: Work, backward: bool) -> Cost:
    """Return the least traffic and arithmetic: frames in, states out, weights once."""
    positions = work.frames * work.tokens
    maps = positions * CHANNELS * work.dtype.itemsize
    weights = 2 * 3 * CHANNELS * CHANNELS * KERNEL**2 * len(STRIDES)
    flops = 2 * positions * (weights // len(STRIDES))
    forward = Cost(2 * maps + weights * work.dtype.itemsize, flops)
    return Cost(3 * forward.bytes, 3 * forward.flops) if backward else forward


BENCHMARK = OpBenchmark(
    "conv_gru",
    (Op("conv_gru", "reference", "plain", inputs, contenders, oracle, cost, TOLERANCE),),
    full={
        "cpu": Defaults(frames=(3,), dtypes=(torch.float32,)),
        "cuda": Defaults(frames=(3, 10, 30), dtypes=(torch.float32, torch.bfloat16)),
    },
    quick=quick_defaults(cpu_frames=3),
)
