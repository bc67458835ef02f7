"""The ops of the segmenter, a folder each, and what each runs on here."""

from __future__ import annotations

from vidgap_segmenter.ops.backend import Backend, report
from vidgap_segmenter.ops.extension import built_for
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
