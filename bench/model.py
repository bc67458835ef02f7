"""A forward pass of Mask2Former with a ResNet-50 on frames, random weights, no temporal module.

reference                    ours with VIDGAP_BACKEND=reference
hugging face                 `Mask2FormerForUniversalSegmentation` with the same weights
native                       ours with the best backend of each op
native, float32 decoder      in bfloat16: with the pixel decoder in float32, as in the official
                             recipe; all others run all of it under autocast, where they let it

bfloat16 is autocast over float32 weights.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from bench.contender import PASSES, Contender, Cost, Field, Op, Tensors, Work, importable
from vidgap_segmenter import Mask2Former
from vidgap_segmenter.ops import extension

BACKBONE = "resnet50"
SEED = 0
SWITCH = "VIDGAP_BACKEND"

TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.1}
"""Wider than an op's: attention is masked where a sigmoid passes 1/2, which rounding decides."""


def inputs(work: Work, seed: int) -> Tensors:
    """Return frames (1, T, 3, H, W), 0..255."""
    shape = (1, work.frames, 3, *work.size)
    return {"frames": 255 * torch.rand(shape, generator=work.generator(seed), device=work.device)}


@functools.cache
def ours(device: str, dtype: torch.dtype, full_precision: bool) -> Mask2Former:
    """Return our network, in eval mode, with the same weights each time."""
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        model = Mask2Former(BACKBONE, full_precision_pixel_decoder=full_precision)
    return model.to(device, dtype).requires_grad_(False).eval()


@functools.cache
def theirs(device: str) -> tuple[nn.Module | None, str]:
    """Return Hugging Face's network with our weights, or None and why not."""
    transformers, why = importable("transformers")
    if transformers is None:
        return None, why
    hugging_face, why = importable("tests.segmenter.hugging_face")  # it serves the parity test, too
    if hugging_face is None:
        return None, why
    stages = hugging_face.STAGES
    hugging_face.BACKBONES.setdefault(
        BACKBONE, lambda: transformers.ResNetConfig(out_features=stages)
    )
    model: nn.Module = hugging_face.twin(ours("cpu", torch.float32, True), BACKBONE)
    return model.to(device).requires_grad_(False), ""


def logits(model: nn.Module) -> Callable[[Tensors], Tensor]:
    """Return what runs our network, to its mask logits (1, Q, T, h, w)."""
    return lambda tensors: model(tensors["frames"]).mask_logits


def their_logits(model: nn.Module) -> Callable[[Tensors], Tensor]:
    """Return what runs theirs on the same frames, normalised."""
    norm = ours("cpu", torch.float32, True)

    def run(tensors: Tensors) -> Tensor:
        mean, std = (
            moved(norm, name, tensors["frames"].device) for name in ("pixel_mean", "pixel_std")
        )
        images = (tensors["frames"].flatten(0, 1) - mean) / std
        output: Any = model(pixel_values=images)
        return output.masks_queries_logits.transpose(0, 1)[None]

    return run


@functools.cache
def moved(model: Mask2Former, name: str, device: torch.device) -> Tensor:
    """Return a buffer on a device, copied there once."""
    buffer: Tensor = getattr(model, name)
    return buffer.to(device)


def field(work: Work) -> Field:
    """Return who takes part."""
    narrow = work.dtype != torch.float32
    around = functools.partial(precision, work)
    by_reference = functools.partial(precision, work, "reference")
    model = ours(work.device, torch.float32, not narrow)
    found = Field([Contender("reference", logits(model), by_reference)])
    other, why = theirs(work.device)
    if other is None:
        found.absent["hugging face"] = why
    else:
        found.contenders.append(Contender("hugging face", their_logits(other), around))
    obstacle = extension.obstacle(torch.device(work.device))
    if obstacle is not None:
        found.absent["native"] = str(obstacle)
        return found
    found.contenders.append(Contender("native", logits(model), around))
    if narrow:
        official = logits(ours(work.device, torch.float32, True))
        found.contenders.append(Contender("native, float32 decoder", official, around))
    return found


@contextmanager
def precision(work: Work, backend: str = "") -> Iterator[None]:
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


def oracle(work: Work, tensors: Tensors) -> Tensor:
    """Return the mask logits of the reference in float64."""
    with precision(Work(work.size, work.frames, torch.float64, work.device), "reference"):
        return logits(ours(work.device, torch.float64, True))(tensors)


@functools.cache
def cost(work: Work, _: bool) -> Cost:
    """Return the least arithmetic, counted in a run (without the samples), and traffic.

    Traffic is that of the weights alone: of the maps between layers nobody must write any.
    """
    model = ours(work.device, torch.float32, True)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(inputs(work, 0)["frames"])
    weights = sum(parameter.numel() for parameter in model.parameters())
    return Cost(4 * weights, counter.get_total_flops())


OPS = [
    Op(
        *("model", "reference", "hugging face", inputs, field, oracle, cost, TOLERANCE),
        passes=PASSES[:1],
        rotates=False,
    )
]
