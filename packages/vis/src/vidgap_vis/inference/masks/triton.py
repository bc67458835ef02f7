"""`finish_masks` on a GPU, in Triton: of the masks only the pixels where they change leave it."""

from __future__ import annotations

import functools
import importlib.util
from types import ModuleType

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from vidgap_vis.inference.masks.frame_masks import FrameMasks
from vidgap_vis.inference.masks.taps import Resizing, taps_of

IS_INSTALLED = importlib.util.find_spec("triton") is not None

MOST_PIXELS = 2**31 - 2**16
"""Of all masks of a frame: the kernel counts in 32 bits."""


def obstacle(device: torch.device, pixels: int) -> str | None:
    """Say what keeps the kernel from running on `device`, for masks of `pixels` together."""
    if device.type != "cuda":
        return f"runs on GPUs, not on {device.type}"
    if not IS_INSTALLED:
        return "Triton is not installed"
    if torch.cuda.is_available() and torch.cuda.get_device_properties(device).major < 8:
        return f"made for GPUs of sm_80 and later, not for {device}"
    if pixels > MOST_PIXELS:
        return f"takes masks of up to {MOST_PIXELS} pixels together, not of {pixels}"
    return None


def finish_masks(native: ModuleType, logits: Tensor, resizing: Resizing) -> FrameMasks:
    """Compute `vidgap_vis.inference.masks.finish_masks`.

    Args:
        native: the extension, which writes the strings.
        logits: (N, h, w), any floating dtype.
        resizing: of them.
    """
    num_masks, areas = len(logits), np.empty(len(logits), np.int64)
    bits, inside = _bits_and_sums(logits, resizing)
    changed = changes(bits).flatten()
    index = changed.nonzero()[:, 0]  # waits for the GPU
    found = torch.cat([index.to(torch.int32), changed[index], inside.view(torch.int32)])
    host, size = found.cpu().numpy(), len(index)  # the one copy
    counts = native.from_changes(
        host.ctypes.data,
        host[size:].ctypes.data,
        size,
        num_masks,
        resizing.pixels,
        areas.ctypes.data,
    )
    sums: npt.NDArray[np.float32] = host[2 * size :].view(np.float32)
    scores = (sums / np.maximum(areas, 1)).astype(np.float32)
    return FrameMasks.of(counts, resizing.size, scores, areas)


def changes(bits: Tensor) -> Tensor:
    """Return which pixels differ from the one before, the first from outside.

    Args:
        bits: masks, 32 pixels in a word, lowest bit first; (N, words) int32.

    Returns:
        The same shape and dtype.
    """
    carried = F.pad((bits[:, :-1] >> 31) & 1, (1, 0))
    return bits ^ (bits << 1 | carried)


def _bits_and_sums(logits: Tensor, resizing: Resizing) -> tuple[Tensor, Tensor]:
    """Return masks as bits, (N, words) int32, and sums of their probabilities, (N,) float32."""
    from vidgap_vis.inference.masks.kernels import launch  # imports Triton, which takes a while

    maps = logits.detach().to(torch.float32).contiguous()
    bits, partial = launch(maps, _taps_on(maps.device, resizing), resizing.size)
    return bits, partial.sum(dim=1)


@functools.lru_cache(maxsize=32)
def _taps_on(device: torch.device, resizing: Resizing) -> tuple[Tensor, ...]:
    """Return index and weight of the taps of rows, then of columns, each (size, taps)."""
    arrays = [array for taps in taps_of(resizing) for array in (taps.index, taps.weight)]
    return tuple(torch.from_numpy(array.copy()).to(device) for array in arrays)
