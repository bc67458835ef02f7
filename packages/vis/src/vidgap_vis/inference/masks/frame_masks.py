"""The masks of a frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vidgap_vis.formats.rle import Rle, Size


@dataclass(frozen=True)
class FrameMasks:
    """The masks of a frame.

    Attributes:
        rles: N masks, at the frame's own size.
        scores: (N,) float32, mean probability over the pixels of each mask, 0 for an empty one (as
            in `instance_inference`), NaN where a logit makes it so.
        areas: (N,) int64, pixels of each mask.
    """

    rles: tuple[Rle, ...]
    scores: npt.NDArray[np.float32]
    areas: npt.NDArray[np.int64]

    @classmethod
    def of(
        cls,
        counts: list[str],
        size: Size,
        scores: npt.NDArray[np.float32],
        areas: npt.NDArray[np.int64],
    ) -> FrameMasks:
        """Return masks of `size` with compressed `counts`."""
        return cls(tuple(Rle(size, text) for text in counts), scores, areas)
