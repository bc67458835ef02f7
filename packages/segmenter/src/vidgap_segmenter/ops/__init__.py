"""The ops of the segmenter, a folder each, and what each runs on here."""

from __future__ import annotations

from vidgap_segmenter.ops.backend import Backend, report
from vidgap_segmenter.ops.ms_deform_attn import ms_deform_attn, ms_deform_attn_fused, obstacles

__all__ = ["Backend", "backends", "ms_deform_attn", "ms_deform_attn_fused"]


def backends() -> dict[str, dict[str, str]]:
    """Say for each op which backend `backend="auto"` takes on a CPU and on a GPU, and why.

    Returns:
        {op: {"cpu": name, "cuda": name, "reason": sentence}}, for example
        {"ms_deform_attn": {"cpu": "native", "cuda": "reference", "reason": "cuda: native: ..."}}.
    """
    return {"ms_deform_attn": report(obstacles)}
