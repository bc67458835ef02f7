"""Mask2Former on frames, random weights, no temporal module: a forward pass and a training step.

ResNet-50 at 360x640 and Swin-T at 480x864, unless other sizes are given. A training step is
forward, matching and losses (12,544 points, 8 instances a frame), and backward to all weights; the
optimiser is left out. All contenders have the same weights, frames, masks and random points.

reference                    ours with VIDGAP_BACKEND=reference; forward alone
hugging face                 `Mask2FormerForUniversalSegmentation`
native                       ours with the best backend of each op
native, float32 decoder      in bfloat16: with the pixel decoder in float32, as in the official
                             recipe; the others run under autocast as far as they allow
..., compiled                with --compile: by torch.compile, ours without graph breaks

bfloat16 is autocast over float32 weights. "peak MiB" of a step holds the gradients of all weights.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from bench.harness.benchmark import Defaults, OpBenchmark, quick_defaults
from bench.harness.contender import PASSES, STEP, Contender, Contenders, Cost, Op, Tensors, Work
from bench.networks.models import Ours, Theirs, inputs, ours, theirs
from vidgap_segmenter.ops import extension

SWITCH = "VIDGAP_BACKEND"
SIZES = {"resnet50": (360, 640), "swin_tiny": (480, 864)}

TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.1}
"""Wider than an op's: attention is masked where a sigmoid passes 1/2, which rounding decides."""

STEP_TOLERANCE = {torch.float32: 1e-2, torch.bfloat16: 0.5}
"""Wider still: rounding also decides which points are the most uncertain, and the matching."""


def network(backbone: str, work: Work, full_precision: bool, *, compiled: bool = False) -> Ours:
    """Return our network, with weights in float32."""
    owner = ours(backbone, work.device, torch.float32, full_precision)
    return Ours(backbone, owner, compiled_model(owner, fullgraph=True) if compiled else owner)


@functools.cache
def compiled_model(model: nn.Module, *, fullgraph: bool) -> Any:
    """Return a compiled network, recompiled for each size; without graph breaks if `fullgraph`."""
    return torch.compile(model, fullgraph=fullgraph, dynamic=False)


def contenders(backbone: str, training: bool, work: Work) -> Contenders:
    """Return the contenders for the forward pass or the training step of a network."""
    narrow = work.dtype != torch.float32
    found = Contenders([])

    def add(name: str, member: Ours | Theirs, backend: str = "") -> None:
        run = member.step if training else member.forward
        around = functools.partial(precision, work, backend)
        found.available.append(Contender(name, run, around, member.stages(training)))

    if not training:
        add("reference", network(backbone, work, not narrow), "reference")
    other, why = theirs(backbone, work.device)
    if other is None:
        found.absent["hugging face"] = why
    else:
        norm = ours(backbone, work.device, torch.float32, True)
        add("hugging face", Theirs(backbone, other, other, norm))
        if work.compiled:
            model = compiled_model(other, fullgraph=False)
            add("hugging face, compiled", Theirs(backbone, other, model, norm))
    obstacle = extension.obstacle(torch.device(work.device))
    if obstacle is not None:
        found.absent["native"] = str(obstacle)
        return found
    add("native", network(backbone, work, not narrow))
    if narrow:
        add("native, float32 decoder", network(backbone, work, True))
    if work.compiled:
        add("native, compiled", network(backbone, work, not narrow, compiled=True))
    return found


@contextmanager
def precision(work: Work, backend: str) -> Iterator[None]:
    """Set the backend that "auto" takes, and autocast where the dtype is narrow."""
    before = os.environ.get(SWITCH)
    os.environ[SWITCH] = backend
    try:
        with torch.autocast(work.device, torch.bfloat16, enabled=work.dtype == torch.bfloat16):
            yield
    finally:
        del os.environ[SWITCH]
        if before is not None:
            os.environ[SWITCH] = before


def oracle(backbone: str, training: bool, work: Work, tensors: Tensors) -> Any:
    """Return the output of the reference in float64, or its loss and gradients by name."""
    owner = ours(backbone, work.device, torch.float64, True)
    member = Ours(backbone, owner, owner)
    with precision(Work(work.size, work.frames, torch.float64, work.device), "reference"):
        return member.step(tensors) if training else member.forward(tensors)


@functools.cache
def cost(backbone: str, work: Work, training: bool) -> Cost:
    """Return the least work: FLOPs counted in a run, and the bytes of the weights.

    Sampling is not counted, and no map between layers has to be written to memory.
    """
    member = network(backbone, work, True)
    run: Callable[[Tensors], Any] = member.step if training else member.forward
    with FlopCounterMode(display=False) as counter:
        run(inputs(work, 0))
    weights = sum(parameter.numel() for parameter in member.owner.parameters())
    return Cost(4 * weights, counter.get_total_flops())


def op(backbone: str, training: bool) -> Op:
    """Return the forward pass or the training step of a network."""
    return Op(
        f"{backbone} step" if training else backbone,
        reference="reference",
        official="hugging face",
        inputs=inputs,
        contenders=functools.partial(contenders, backbone, training),
        oracle=functools.partial(oracle, backbone, training),
        cost=functools.partial(cost, backbone),
        tolerance=STEP_TOLERANCE if training else TOLERANCE,
        passes=(STEP if training else PASSES[0],),
        rotates=False,
        sizes=(SIZES[backbone],),
    )


BENCHMARK = OpBenchmark(
    "segmenter",
    tuple(op(backbone, training) for backbone in SIZES for training in (False, True)),
    full={
        "cpu": Defaults(frames=(1,), dtypes=(torch.float32,)),
        "cuda": Defaults(frames=(1, 3), dtypes=(torch.float32, torch.bfloat16)),
    },
    quick=quick_defaults(cpu_frames=1),
    multiple=1,
    compiles=True,
)
