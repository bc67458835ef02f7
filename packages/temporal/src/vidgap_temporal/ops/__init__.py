"""The two ops of the temporal module, each a folder: contract, definition, a file a backend."""

from __future__ import annotations

from vidgap_temporal.ops.about import Backend
from vidgap_temporal.ops.backend import report
from vidgap_temporal.ops.conv_gru import GRUWeights, conv_gru
from vidgap_temporal.ops.conv_gru import obstacles as conv_gru_obstacles
from vidgap_temporal.ops.window_attention import obstacles as window_attention_obstacles
from vidgap_temporal.ops.window_attention import window_attention


def backends() -> dict[str, dict[str, str]]:
    """Say for each op which backend `backend="auto"` takes on a CPU and on a GPU, and why.

    Returns:
        {op: {"cpu": name, "cuda": name, "reason": sentence}}, for example
        {"conv_gru": {"cpu": "reference", "cuda": "native", "reason": "cpu: native: runs on ..."}}.
    """
    return {
        "conv_gru": report(conv_gru_obstacles),
        "window_attention": report(window_attention_obstacles),
    }


__all__ = ["Backend", "GRUWeights", "backends", "conv_gru", "window_attention"]
