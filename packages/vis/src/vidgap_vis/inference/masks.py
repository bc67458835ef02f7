"""From mask logits at stride 4 to the masks of a frame, and how sure the network is of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import Tensor

from vidgap_segmenter import ClipOutput
from vidgap_segmenter.inference import resize_to
from vidgap_vis.formats.rle import Rle

_MASKS_AT_ONCE = 8
"""How many masks are enlarged together: bounds the memory, costs no time."""


def finish_masks(
    output: ClipOutput, logits: Tensor, size: tuple[int, int]
) -> tuple[tuple[Rle, ...], npt.NDArray[np.float32]]:
    """Bring mask logits to the frame's own size and cut them at 0.

    Args:
        output: where they come from.
        logits: (N, h, w), over the padded frame.
        size: (H, W) wanted.

    Returns:
        N masks, and their mask scores (N,): mean probability over the pixels of each mask, 0 for an
        empty one (as in `instance_inference`).
    """
    rles: list[Rle] = []
    scores = [np.zeros(0, np.float32)]
    for first in range(0, len(logits), _MASKS_AT_ONCE):
        large = resize_to(output, logits[first : first + _MASKS_AT_ONCE], size)
        masks = large > 0  # (n, H, W)
        inside = (large.sigmoid() * masks).sum(dim=(1, 2))
        scores.append((inside / (masks.sum(dim=(1, 2)) + 1e-6)).float().cpu().numpy())
        rles += map(Rle.encode, masks.cpu().numpy())
    return tuple(rles), np.concatenate(scores)


class MaskScores:
    """Mean mask scores of a video's tracks, two numbers a track."""

    def __init__(self) -> None:
        self._sums: dict[int, float] = {}

    def add(self, track_ids: npt.NDArray[np.int64], scores: npt.NDArray[np.float32]) -> None:
        """Take the visible tracks of the next frame: ids (N,) and their mask scores (N,)."""
        for track_id, score in zip(track_ids.tolist(), scores.tolist(), strict=True):
            self._sums[track_id] = self._sums.get(track_id, 0.0) + score

    def means(self, num_frames: int) -> dict[int, float]:
        """Return each track's mean over all frames of the video, being 0 where it is absent."""
        return {track_id: total / num_frames for track_id, total in self._sums.items()}
