"""A clip from one image: replicated, each copy rotated a little further (paper §3.1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from vidgap_augment.arguments import Per, check_count
from vidgap_augment.plan import Plan
from vidgap_augment.rotation import Rotation, SlowRotation
from vidgap_augment.transform import ClipTransform


class PseudoClip(ClipTransform[Rotation]):
    """Make a clip sample of an image sample: T copies, rotated slowly with their masks.

    Instance n of the image has the id n in the clip, unless the image has `ids`. One without a
    pixel in any frame is dropped; the others keep their ids.

    Args:
        num_frames: T, at least 1 (3 in pre-training, 10 in fine-tuning).
        max_rotation_deg, center_range, per: as in `SlowRotation`; 0 degrees gives T equal frames.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        num_frames: int = 3,
        max_rotation_deg: float = 15.0,
        center_range: Sequence[float] = (0.4, 0.6),
        per: Per = "video",
    ) -> None:
        super().__init__()
        self.num_frames = check_count("num_frames", num_frames)
        self.rotation = SlowRotation(max_rotation_deg, center_range, per)

    def draw(
        self,
        plan: Plan,  # noqa: ARG002
        generator: torch.Generator | None = None,
    ) -> Rotation:
        return self.rotation.draw_frames(self.num_frames, generator)

    def add(self, plan: Plan, params: Rotation) -> Plan:
        """Replicate the image, then rotate the copies.

        Raises:
            ValueError: the sample is a clip already.
        """
        if not plan.is_image:
            raise ValueError(f"sample must hold an image, got a clip of {plan.num_frames} frames")
        return self.rotation.add(plan.replicated(self.num_frames), params)
