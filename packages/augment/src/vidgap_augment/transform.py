"""What every clip transform is: parameters drawn once a clip, then applied to each thing in it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeAlias, TypeVar

import torch
from torch import Tensor, nn
from torchvision import tv_tensors

from vidgap_augment.arguments import check_number
from vidgap_augment.draw import chance
from vidgap_augment.sample import Sample, check_clip, drop_empty

ParamsT = TypeVar("ParamsT")

Thing: TypeAlias = "tv_tensors.Video | tv_tensors.Mask"
"""What `transform` gets: the frames (T, 3, H, W) uint8, or the masks (N, T, H, W) bool."""


class ClipTransform(nn.Module, ABC, Generic[ParamsT]):
    """Base of the transforms of clip samples, in the manner of torchvision's `v2.Transform`.

    A call `transform(sample, generator=None)` draws parameters once (`make_params`), applies them
    to the frames and to the masks (`transform`), removes the instances without a pixel left and
    makes the boxes anew from the masks. The given sample is not written to. No generator and no
    counter is kept, so the same generator state gives the same clip in any process.

    A transform that changes which instances there are overrides `transform_sample`.
    """

    def forward(self, sample: Sample, generator: torch.Generator | None = None) -> Sample:
        """Transform a clip sample (see `vidgap_augment.sample`).

        Args:
            sample: its tensors may be views; they are not written to.
            generator: on the CPU; None is torch's default generator.

        Raises:
            ValueError: the sample is malformed; the message names the key, wanted and got.
        """
        self.check_inputs(sample)
        return self.transform_sample(sample, self.make_params(sample, generator))

    @abstractmethod
    def make_params(self, sample: Sample, generator: torch.Generator | None = None) -> ParamsT:
        """Draw the parameters of one clip. They compare equal when drawn from the same state."""

    @abstractmethod
    def transform(self, thing: Thing, params: ParamsT) -> Tensor:
        """Apply the parameters to all frames of `thing`, with time and leading axes kept."""

    def check_inputs(self, sample: Sample) -> None:
        """Raise ValueError unless this transform can take the sample."""
        check_clip(sample)

    def transform_sample(self, sample: Sample, params: ParamsT) -> Sample:
        """Apply the parameters to the frames and the masks; update instances and boxes."""
        video = self.transform(tv_tensors.Video(sample["video"]), params)
        masks = self.transform(tv_tensors.Mask(sample["masks"]), params)
        return drop_empty({**sample, "video": video, "masks": masks})

    def extra_repr(self) -> str:
        """Name the settings when the transform is printed."""
        settings = {k: v for k, v in vars(self).items() if not k.startswith("_")}
        settings.pop("training")
        return ", ".join(f"{name}={value}" for name, value in settings.items())


class ClipCompose(nn.Module):
    """Run clip transforms in order, all from one generator.

    Args:
        transforms: `ClipTransform`s or `ClipCompose`s. Transforms of torchvision take no generator
            and are refused; where torch's default generator will do, `v2.Compose` holds both kinds.
        probability: that a sample goes through the list; otherwise it comes back as it is. One
            decision a clip, drawn only where the probability is below 1.

    Raises:
        ValueError: a member is not a clip transform, or the probability is outside [0, 1].
    """

    def __init__(
        self, transforms: Sequence[ClipTransform | ClipCompose], probability: float = 1.0
    ) -> None:
        super().__init__()
        for index, member in enumerate(transforms):
            if not isinstance(member, (ClipTransform, ClipCompose)):
                raise ValueError(
                    f"transforms[{index}] must be a ClipTransform or ClipCompose, "
                    f"got {type(member).__name__}"
                )
        self.transforms = nn.ModuleList(transforms)
        self.probability = check_number("probability", probability, 0.0, 1.0)

    def forward(self, sample: Sample, generator: torch.Generator | None = None) -> Sample:
        """Transform a sample; see `ClipTransform.forward`."""
        if self.probability < 1.0 and not chance(self.probability, generator):
            return sample
        for member in self.transforms:
            sample = member(sample, generator)
        return sample

    def extra_repr(self) -> str:
        """Name the probability when the list is printed."""
        return f"probability={self.probability}"
