"""Horizontal flip of a whole clip."""

from __future__ import annotations

import numpy as np
import torch

from vidgap_augment.arguments import check_number
from vidgap_augment.draw import chance
from vidgap_augment.geometry import ClipShape, Step, mirroring
from vidgap_augment.plan import Plan
from vidgap_augment.transform import GeometricTransform


class ClipFlip(GeometricTransform[bool]):
    """Mirror all frames of a clip horizontally, or none.

    Args:
        probability: of the flip, in [0, 1]; one decision a clip.

    Raises:
        ValueError: the probability is outside [0, 1].
    """

    def __init__(self, probability: float = 0.5) -> None:
        super().__init__()
        self.probability = check_number("probability", probability, 0.0, 1.0)

    def draw(
        self,
        plan: Plan,  # noqa: ARG002
        generator: torch.Generator | None = None,
    ) -> bool:
        return chance(self.probability, generator)

    def step(self, params: bool, shape: ClipShape) -> Step:
        matrix = mirroring(shape.width) if params else np.eye(2, 3)
        return Step(np.tile(matrix, (shape.num_frames, 1, 1)), (shape.height, shape.width))
