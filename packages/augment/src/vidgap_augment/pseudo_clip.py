"""A clip from one image: replicated, each copy rotated a little further (paper §3.1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vidgap_augment.arguments import check_count
from vidgap_augment.rotation import Rotation, SlowRotation
from vidgap_augment.sample import Sample, check_image
from vidgap_augment.transform import ClipTransform, Thing


class PseudoClip(ClipTransform[Rotation]):
    """Make a clip sample of an image sample: T copies, rotated slowly, masks with them.

    Instance n of the image has the id n in the clip. One without a pixel in any frame is dropped;
    the ids of the others stay.

    Args:
        num_frames: T, at least 1 (3 in pre-training, 10 in fine-tuning).
        max_rotation_deg, center_range: as in `SlowRotation`; 0 degrees gives T equal frames.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        num_frames: int = 3,
        max_rotation_deg: float = 15.0,
        center_range: Sequence[float] = (0.4, 0.6),
    ) -> None:
        super().__init__()
        self.num_frames = check_count("num_frames", num_frames)
        self.rotation = SlowRotation(max_rotation_deg, center_range)

    def check_inputs(self, sample: Sample) -> None:
        """Raise ValueError unless `sample` is an image sample."""
        check_image(sample)

    def make_params(
        self,
        sample: Sample,  # noqa: ARG002
        generator: torch.Generator | None = None,
    ) -> Rotation:
        """Draw the angles of the T frames and the centre."""
        return self.rotation.draw(self.num_frames, generator)

    def transform(self, thing: Thing, params: Rotation) -> Tensor:
        """Rotate every copy by its angle."""
        return self.rotation.transform(thing, params)

    def transform_sample(self, sample: Sample, params: Rotation) -> Sample:
        """Replicate the image, then rotate the copies."""
        return super().transform_sample(replicate(sample, self.num_frames), params)


def replicate(sample: Sample, num_frames: int) -> Sample:
    """Return a clip sample of T equal frames, without boxes; frames and masks are views.

    Args:
        sample: an image sample; `image` becomes `video`, `masks` (N, H, W) become (N, T, H, W).
        num_frames: T.
    """
    kept = {key: value for key, value in sample.items() if key != "image"}
    image, masks = sample["image"], sample["masks"]
    return {
        **kept,
        "video": image.unsqueeze(0).expand(num_frames, -1, -1, -1),
        "masks": masks.unsqueeze(1).expand(-1, num_frames, -1, -1),
        "ids": torch.arange(len(masks)),
    }
