"""The segmenter's ops, a folder each, and which backends run here."""

from __future__ import annotations

import torch

from vidgap_segmenter.ops import extension
from vidgap_segmenter.ops.about import Backend
from vidgap_segmenter.ops.backend import report
from vidgap_segmenter.ops.ms_deform_attn import ms_deform_attn, ms_deform_attn_fused, obstacles

__all__ = ["Backend", "backends", "ms_deform_attn", "ms_deform_attn_fused"]


def backends() -> dict[str, dict[str, str]]:
    """Say for each op which backend `backend="auto"` takes on a CPU and on a GPU, and why.

    Returns:
        {op: {"cpu": name, "cuda": name, "built for": text, "reason": sentence}}, for example
        {"ms_deform_attn": {"cpu": "native", "cuda": "reference", "built for": "x86-64-v4",
        "reason": "cuda: native: built without CUDA; ..."}}.
    """
    return {"ms_deform_attn": {**report(obstacles), "built for": built_for()}}


def built_for() -> str:
    """Say what the extension's code is made for, as "x86-64-v4; CUDA 80-real 90-real"."""
    if extension.obstacle(torch.device("cpu")) is not None:
        return "nothing"
    native = extension.extension()
    cpu = native.cpu_kernels() + ("" if native.has_threads else " without OpenMP: one thread")
    return f"{cpu}; CUDA {native.cuda_architectures}" if native.cuda_architectures else cpu
