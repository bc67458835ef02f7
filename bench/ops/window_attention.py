"""Attention in windows of 8 x 8 tokens, 8 heads, at strides 8, 16 and 32 of a clip.

Two ops: `window_self` attends within each frame in windows that are not shifted, `window_cross`
in shifted ones to the frame that the paper pairs with it. Queries, keys and values are slices of
one projection, as networks have them.

reference    ours, in PyTorch
swin         as Swin does: pad, roll, cut into windows, scaled_dot_product_attention with the bias
             and the mask as a tensor, which are made beforehand, and back
flex         the same around a compiled flex_attention, which looks the bias up itself; on GPUs
triton       ours, fused
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from bench.harness.benchmark import Defaults, OpBenchmark, quick_defaults
from bench.harness.contender import (
    CHANNELS,
    HEADS,
    STRIDES,
    Contender,
    Contenders,
    Cost,
    Op,
    Tensors,
    Work,
)
from bench.ops.peers import window_attention as peers
from vidgap_temporal.ops import window_attention

WINDOW = 8
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}

Attention = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""q, k, v (B, T, H, W, C) and bias (M, (2w-1)**2) to (B, T, H, W, C)."""


def inputs(work: Work, seed: int) -> Tensors:
    """Return for each scale the projection (1, T, H, W, 3C) and the bias."""
    on_device: Any = {"generator": work.generator(seed), "device": work.device}
    found = {}
    for stride, size in zip(STRIDES, work.levels, strict=True):
        qkv = torch.randn(1, work.frames, *size, 3 * CHANNELS, **on_device)
        bias = torch.randn(HEADS, (2 * WINDOW - 1) ** 2, **on_device)
        for part, tensor in (("qkv", qkv), ("bias", bias)):
            found[f"{part}{stride}"] = tensor.to(work.dtype).requires_grad_()
    return found


def each_scale(attention: Attention) -> Callable[[Tensors], Tensor]:
    """Return a function that attends on all scales, outputs (B, T, S, C) side by side."""

    def run(tensors: Tensors) -> Tensor:
        outputs = []
        for stride in STRIDES:
            q, k, v = tensors[f"qkv{stride}"].chunk(3, dim=-1)
            outputs.append(attention(q, k, v, tensors[f"bias{stride}"]).flatten(2, 3))
        return torch.cat(outputs, dim=2)

    return run


def partner(num_frames: int, cross: bool) -> tuple[int, ...] | None:
    """Return the frame that each attends to: the clip's halves swapped (paper §3.2)."""
    split = (num_frames + 1) // 2
    return (*range(split, num_frames), *range(split)) if cross else None


def settings(work: Work, cross: bool) -> peers.Settings:
    """Return the settings of the windows and of the frames."""
    return peers.Settings(HEADS, WINDOW, WINDOW // 2 * cross, partner(work.frames, cross))


def ours(backend: str, how: peers.Settings) -> Callable[[Tensors], Tensor]:
    """Return our op on a backend."""

    def attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        return window_attention(
            *(q, k, v, bias),
            num_heads=how.num_heads,
            window_size=how.window,
            shift=how.shift,
            partner=how.partner,
            backend=backend,  # type: ignore[arg-type]  # a name
        )

    return each_scale(attention)


def contenders(work: Work, cross: bool) -> Contenders:
    """Return the contenders."""
    how = settings(work, cross)
    swin = functools.partial(peers.swin, how)
    found = Contenders(
        [Contender("reference", ours("reference", how)), Contender("swin", each_scale(swin))]
    )
    if work.device == "cuda":
        flex = functools.partial(peers.flex, how, peers.compiled_flex())
        found.available.append(Contender("flex", each_scale(flex)))
    else:
        found.absent["flex"] = "compiled for GPUs only"
    obstacle = triton_obstacle(work)
    if obstacle:
        found.absent["triton"] = obstacle
    else:
        found.available.append(Contender("triton", ours("triton", how)))
    return found


def triton_obstacle(work: Work) -> str:
    """Return why the fused kernel cannot run, or ""."""
    from vidgap_temporal.ops.window_attention import obstacles

    return str(obstacles(torch.device(work.device))["triton"] or "")


def cost(work: Work, backward: bool) -> Cost:
    """Return the least traffic and arithmetic.

    Forward reads three maps and writes one; backward reads these and the output's gradient, and
    writes three.
    """
    positions = work.frames * work.tokens
    map_bytes = positions * CHANNELS * work.dtype.itemsize
    flops = 4 * positions * WINDOW**2 * CHANNELS
    return Cost(12 * map_bytes, 3.5 * flops) if backward else Cost(4 * map_bytes, flops)


def op(name: str, cross: bool) -> Op:
    """Return one of the two ops."""

    def oracle(work: Work, tensors: Tensors) -> Tensor:
        return ours("reference", settings(work, cross))(tensors)

    found = functools.partial(contenders, cross=cross)
    return Op(name, "reference", "swin", inputs, found, oracle, cost, TOLERANCE)


BENCHMARK = OpBenchmark(
    "window_attention",
    (op("window_self", False), op("window_cross", True)),
    full={
        "cpu": Defaults(frames=(3, 10), dtypes=(torch.float32,)),
        "cuda": Defaults(frames=(3, 10, 30), dtypes=(torch.float32, torch.bfloat16)),
    },
    quick=quick_defaults(cpu_frames=3),
)
