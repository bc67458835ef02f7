"""Mask DINO's output: predictions for clips, and what training needs beside them."""

from __future__ import annotations

from dataclasses import dataclass

from vidgap_segmenter.mask_dino.denoising import Denoising
from vidgap_segmenter.structures import ClipOutput, Prediction


@dataclass(frozen=True)
class Reconstruction:
    """What was predicted for noised instances.

    Attributes:
        levels: predictions of the denoising queries, the last level first.
        denoising: what they were made from.
    """

    levels: tuple[Prediction, ...]
    denoising: Denoising


@dataclass(frozen=True)
class MaskDINOOutput(ClipOutput):
    """A `ClipOutput` with boxes and independent classes.

    Attributes:
        proposals: predictions from the selected tokens themselves; in training mode only.
        reconstruction: predictions of the denoising queries, if there were any.
    """

    proposals: Prediction | None = None
    reconstruction: Reconstruction | None = None

    @property
    def levels(self) -> tuple[Prediction, ...]:
        """All decoder levels, the last one first, then the proposals."""
        return super().levels + (() if self.proposals is None else (self.proposals,))
