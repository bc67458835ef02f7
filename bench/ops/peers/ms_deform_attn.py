"""Other implementations of multi-scale deformable attention, with one signature."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from bench.harness.contender import Work, importable
from bench.ops.peers import naive_kernel

Sampler: TypeAlias = Callable[[Work, Tensor, Tensor, Tensor], Tensor]
"""(work, value, locations, weights) to (B, Q, C), shapes as in `vidgap_segmenter`'s op."""


def peers(device: str) -> dict[str, tuple[Sampler | None, str]]:
    """Return samplers by name, each with ""; None with the reason if it is not available."""
    found: dict[str, tuple[Sampler | None, str]] = {}
    module, why = importable("transformers.models.mask2former.modeling_mask2former")
    found["official"] = (module and official(module.multi_scale_deformable_attention), why)
    module, why = importable("torch_ms_deform_attn")
    found["torch-ms-deform-attn"] = (module and from_pypi(module.ms_deform_attn), why)
    if device == "cuda":
        kernel, why = naive_kernel.compiled("nvcc")
        found["naive"] = (kernel and naive_kernel.sampler(kernel), why)
    return found


def official(function: Callable[..., Tensor]) -> Sampler:
    """Wrap Hugging Face's function."""

    def run(work: Work, value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
        wide = locations.dtype
        return function(value.to(wide), work.levels, locations, weights.to(wide)).to(value.dtype)

    return run


def from_pypi(function: Callable[..., Tensor]) -> Sampler:
    """Wrap torch-ms-deform-attn's function, which takes shapes and level starts as tensors."""
    known: dict[Work, tuple[Tensor, Tensor]] = {}

    def run(work: Work, value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
        if work not in known:
            shapes = torch.tensor(work.levels, device=work.device)
            known[work] = shapes, shapes.prod(1).cumsum(0) - shapes.prod(1)
        wide = locations.dtype
        out = function(value.to(wide), *known[work], locations, weights.to(wide))
        return out.to(value.dtype)

    return run
