"""`finish_masks` in C++, on the CPU: a map of the masks' own size is never made."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from vidgap_vis.inference.masks.frame_masks import FrameMasks
from vidgap_vis.inference.masks.taps import Resizing, Taps, taps_of


def finish_masks(native: ModuleType, logits: Tensor, resizing: Resizing) -> FrameMasks:
    """Compute `vidgap_vis.inference.masks.finish_masks`.

    Args:
        native: the extension.
        logits: (N, h, w), any floating dtype, in the CPU's memory.
        resizing: of them; masks have `native.MOST_PIXELS` at most.
    """
    maps = logits.detach().to(torch.float32).contiguous()
    scores, areas = np.empty(len(maps), np.float32), np.empty(len(maps), np.int64)
    taps = map(_described, taps_of(resizing))
    numbers = scores.ctypes.data, areas.ctypes.data
    counts = native.from_logits(maps.data_ptr(), *maps.shape, *taps, *numbers)
    return FrameMasks.of(counts, resizing.size, scores, areas)


def _described(taps: Taps) -> tuple[int, int, int, int]:
    return taps.index.ctypes.data, taps.weight.ctypes.data, len(taps), taps.count
