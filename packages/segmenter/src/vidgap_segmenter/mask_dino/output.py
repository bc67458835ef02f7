"""Mask DINO's answer: a clip's output, and what its training needs beside it."""

from __future__ import annotations

from dataclasses import dataclass

from vidgap_segmenter.mask_dino.denoising import Denoising
from vidgap_segmenter.structures import ClipOutput, Prediction


@dataclass(frozen=True)
class Reconstruction:
    """What was predicted of noised instances.

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
        proposals: what the selected tokens predict by themselves; in training mode only.
        reconstruction: of the denoising queries, where there were any.
    """

    proposals: Prediction | None = None
    reconstruction: Reconstruction | None = None

    @property
    def levels(self) -> tuple[Prediction, ...]:
        """All decoder levels, the last one first, then the proposals."""
        return super().levels + (() if self.proposals is None else (self.proposals,))
