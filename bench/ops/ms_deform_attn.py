"""Multi-scale deformable attention, against other implementations.

Two ops: `ms_deform_attn` takes locations and weights, as all others do; `ms_deform_attn_fused`
takes what a network predicts (offsets, logits), for which the others compute softmax and
locations with torch first, as networks do. Every token of the pyramid is a query; offsets are
normal with a deviation of 3 pixels, as in trained networks.

reference             ours, in PyTorch (grid_sample)
official              the formulation in PyTorch of Deformable DETR and Mask2Former, here
                      Hugging Face's `multi_scale_deformable_attention`
torch-ms-deform-attn  the official CUDA kernels and a CPU op, on PyPI. Optional, Apache-2.0; built
                      by `pip install --no-build-isolation --no-deps torch-ms-deform-attn==0.1.1`
                      (a minute on one core; for a GPU: on a machine where one is visible)
naive                 on a GPU: a straightforward kernel (in `peers`)
native                ours; on the CPU also for older instruction sets, on a GPU each variant

Others take values in the dtype of the locations: bfloat16 is widened for them, within the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
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
from bench.ops.peers.ms_deform_attn import Sampler, peers
from vidgap_segmenter import ms_deform_attn, ms_deform_attn_fused
from vidgap_segmenter.ops import extension
from vidgap_segmenter.ops.ms_deform_attn import call

POINTS = 4
DEVIATION = 3.0
MARGIN = 0.02
"""Pixels from a sample to the next line of pixel centres, where its gradient jumps."""

CPU_KERNELS = ("x86-64-v4", "x86-64-v3", "baseline")
CUDA_VARIANTS = {1: "gather", 2: "head-major", 3: "shared-coarse"}


def fused_inputs(work: Work, seed: int) -> Tensors:
    """Return value (T, S, M, D), reference (T, S, L, 2), offsets and logits, as the op has them."""
    on_device: Any = {"generator": work.generator(seed), "device": work.device}
    levels, tokens = work.levels, work.tokens
    lead = (work.frames, tokens, HEADS)
    reference = centres(work).to(work.device).expand(work.frames, tokens, len(levels), 2)
    offsets = torch.randn(*lead, len(levels), POINTS, 2, **on_device) * DEVIATION
    value = torch.randn(*lead, CHANNELS // HEADS, **on_device)
    tensors = {
        "value": value.to(work.dtype),
        "offsets": off_lines(reference, offsets.to(work.dtype), sizes(work)),
        "logits": torch.randn(*lead, len(levels) * POINTS, **on_device).to(work.dtype),
    }
    leaves = {name: tensor.requires_grad_() for name, tensor in tensors.items()}
    return leaves | {"reference": reference}


def plain_inputs(work: Work, seed: int) -> Tensors:
    """Return value, locations and weights, as the op has them."""
    tensors = fused_inputs(work, seed)
    with torch.no_grad():
        locations, weights = glue(work, tensors)
    return {
        "value": tensors["value"],
        "locations": locations.requires_grad_(),
        "weights": weights.to(work.dtype).requires_grad_(),
    }


def centres(work: Work) -> Tensor:
    """Return the position (x, y) of every token, normalised, (S, 1, 2)."""
    grids = []
    for height, width in work.levels:
        y, x = (torch.arange(n) + 0.5 for n in (height, width))
        grid = torch.meshgrid(y / height, x / width, indexing="ij")
        grids.append(torch.stack(grid[::-1], dim=-1).flatten(0, 1))
    return torch.cat(grids)[:, None]


@cache
def sizes(work: Work) -> Tensor:
    """Return (W_l, H_l) of each level, (L, 1, 2), on the device: copied there once."""
    return torch.tensor(work.levels).flip(-1)[:, None].float().to(work.device)


def off_lines(reference: Tensor, offsets: Tensor, size: Tensor) -> Tensor:
    """Move samples away from the lines of pixel centres, in steps that any dtype can hold."""
    for _ in range(3):
        pixel = reference[:, :, None, :, None] * size - 0.5 + offsets.float()
        near = (pixel - pixel.round()).abs() < MARGIN
        offsets = torch.where(near, offsets + 0.25, offsets)
    return offsets


def glue(work: Work, tensors: Tensors) -> tuple[Tensor, Tensor]:
    """Return locations and weights from offsets and logits, as networks compute them."""
    offsets, logits, reference = (tensors[name] for name in ("offsets", "logits", "reference"))
    scale = sizes(work).to(reference)
    locations = reference[:, :, None, :, None] + offsets / scale
    weights = logits.to(reference.dtype).softmax(-1).view(offsets.shape[:-1])
    return locations, weights


def plain_contenders(work: Work) -> Contenders:
    """Return the contenders that take locations and weights."""

    def ours(backend: str) -> Callable[[Tensors], Tensor]:
        return lambda t: ms_deform_attn(
            t["value"],
            work.levels,
            t["locations"],
            t["weights"],
            backend=backend,  # type: ignore[arg-type]  # one of the names
        )

    def theirs(sampler: Sampler) -> Callable[[Tensors], Tensor]:
        return lambda t: sampler(work, t["value"], t["locations"], t["weights"])

    return contenders(work, ours, theirs)


def fused_contenders(work: Work) -> Contenders:
    """Return the contenders that take offsets and logits."""

    def ours(backend: str) -> Callable[[Tensors], Tensor]:
        return lambda t: ms_deform_attn_fused(
            t["value"],
            work.levels,
            t["reference"],
            t["offsets"],
            t["logits"],
            backend=backend,  # type: ignore[arg-type]  # one of the names
        )

    def theirs(sampler: Sampler) -> Callable[[Tensors], Tensor]:
        return lambda t: sampler(work, t["value"], *glue(work, t))

    return contenders(work, ours, theirs)


def contenders(
    work: Work,
    ours: Callable[[str], Callable[[Tensors], Tensor]],
    theirs: Callable[[Sampler], Callable[[Tensors], Tensor]],
) -> Contenders:
    """Return all contenders of one op, made by `ours` and `theirs`."""
    found = Contenders([Contender("reference", ours("reference"))])
    for name, (sampler, why) in peers(work.device).items():
        if sampler is None:
            found.absent[name] = why
        else:
            found.available.append(Contender(name, theirs(sampler)))
    obstacle = extension.obstacle(torch.device(work.device))
    if obstacle is not None:
        found.absent["native"] = str(obstacle)
        return found
    native = ours("native")
    found.available.append(Contender("native", native))
    found.available.extend(variants(work.device, native))
    return found


def variants(device: str, native: Callable[[Tensors], Tensor]) -> list[Contender]:
    """Return our kernels as contenders: instruction sets on the CPU, variants on a GPU."""
    if device == "cuda":
        return [
            Contender(f"native {name}", native, partial(variant, number))
            for number, name in CUDA_VARIANTS.items()
        ]
    kernels = extension.extension()
    best = kernels.cpu_kernels()
    older = [name for name in CPU_KERNELS if name != best and kernels.use_cpu_kernels(name)]
    kernels.use_cpu_kernels(best)
    return [
        Contender(f"native {name}", native, partial(instructions, name, best)) for name in older
    ]


@contextmanager
def variant(number: int) -> Iterator[None]:
    """Run one of the CUDA kernels instead of the one that the rule chooses."""
    call.variant = number
    try:
        yield
    finally:
        call.variant = 0


@contextmanager
def instructions(name: str, best: str) -> Iterator[None]:
    """Run the CPU's kernels for an instruction set instead of the best."""
    extension.extension().use_cpu_kernels(name)
    try:
        yield
    finally:
        extension.extension().use_cpu_kernels(best)


def cost(work: Work, backward: bool) -> Cost:
    """Return the least traffic and arithmetic, for both that of the fused op.

    Backward reads all inputs and the output's gradient, and writes a gradient for each input, that
    of the values in float32, in which it is summed.
    """
    positions = work.frames * work.tokens
    samples = positions * HEADS * len(STRIDES) * POINTS
    narrow = work.dtype.itemsize
    values = positions * CHANNELS * narrow
    predicted = samples * 3 * narrow  # two offsets and a logit
    depth = CHANNELS // HEADS
    forward = Cost(2 * values + predicted, samples * depth * 8, samples * 4)
    if not backward:
        return forward
    return Cost(
        forward.bytes + 2 * values + positions * CHANNELS * 4 + 2 * predicted,
        forward.flops * 4,  # the samples again, their products with the gradient, and the scatter
        forward.lines * 2,
    )


TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 1.5e-2}


def op(name: str, inputs: Callable[..., Tensors], found: Callable[[Work], Contenders]) -> Op:
    """Return one of the two ops; float64 is computed by the reference."""

    def oracle(work: Work, tensors: Tensors) -> Tensor:
        return found(work).available[0].run(tensors)

    return Op(name, "reference", "official", inputs, found, oracle, cost, TOLERANCE)


BENCHMARK = OpBenchmark(
    "ms_deform_attn",
    (
        op("ms_deform_attn", plain_inputs, plain_contenders),
        op("ms_deform_attn_fused", fused_inputs, fused_contenders),
    ),
    full={
        "cpu": Defaults(frames=(1, 3), dtypes=(torch.float32,)),
        "cuda": Defaults(frames=(3, 10, 30), dtypes=(torch.float32, torch.bfloat16)),
    },
    quick=quick_defaults(cpu_frames=1),
)
