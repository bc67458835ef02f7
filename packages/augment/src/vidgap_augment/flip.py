"""Horizontal flip of a whole clip."""

from __future__ import annotations

import torch
from torch import Tensor

from vidgap_augment.arguments import check_number
from vidgap_augment.draw import chance
from vidgap_augment.sample import Sample
from vidgap_augment.transform import ClipTransform, Thing


class ClipFlip(ClipTransform[bool]):
    """Mirror all frames of a clip left to right, or none.

    Args:
        probability: of the flip, in [0, 1]; one decision a clip.

    Raises:
        ValueError: the probability is outside [0, 1].
    """

    def __init__(self, probability: float = 0.5) -> None:
        super().__init__()
        self.probability = check_number("probability", probability, 0.0, 1.0)

    def make_params(
        self,
        sample: Sample,  # noqa: ARG002
        generator: torch.Generator | None = None,
    ) -> bool:
        """Draw whether the clip is flipped."""
        return chance(self.probability, generator)

    def transform(self, thing: Thing, params: bool) -> Tensor:
        """Flip the columns where `params` is True."""
        return thing.flip(-1) if params else thing
