"""The bases of clip transforms: they draw once a clip; pixels are made once, at the end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeAlias, TypeVar

import torch
from torch import Tensor, nn
from torchvision import tv_tensors

from vidgap_augment.arguments import check_number
from vidgap_augment.draw import chance
from vidgap_augment.geometry import ClipShape, Placement, Step
from vidgap_augment.plan import Plan, SourceMasks
from vidgap_augment.render import materialised
from vidgap_augment.sample import Sample, check_tensor, open_sample

ParamsT = TypeVar("ParamsT")

Thing: TypeAlias = "tv_tensors.Video | tv_tensors.Mask"
"""What `FrameTransform.transform` gets: frames (T, 3, H, W) uint8, or masks (N, T, H, W) bool."""


class ClipTransform(nn.Module, ABC, Generic[ParamsT]):
    """Base of the transforms of image and clip samples, in the manner of torchvision's `v2`.

    A call `transform(sample, generator=None)` draws random numbers once, applies them to all frames
    and masks, removes the instances without a pixel left and makes the boxes from the masks. It
    does not write to the given sample. A transform keeps no generator and no counter, so the same
    generator state gives the same clip in any process.

    A transform adds to a plan (`add`); pixels are made at the end of the call, or of the call of
    the `ClipCompose` around it. To write your own, derive `GeometricTransform` or `FrameTransform`.
    """

    def forward(self, *inputs: Any, generator: torch.Generator | None = None) -> Sample:
        """Transform a sample: `transform(sample)`, `transform(sample, generator)`.

        As in torchvision's `v2`, `transform(image, target)` takes the sample (image, target).

        Args:
            inputs: a sample (see `vidgap_augment.sample`), and then a generator, if any.
            generator: on the CPU; None is torch's default generator.

        Raises:
            ValueError: the sample is malformed, or the last argument is no CPU generator; the
                message says what was wanted and what came.
        """
        sample, generator = read_call(inputs, generator)
        opened = open_sample(sample)
        return opened.close(self.extend(opened.plan, generator))

    def make_params(self, sample: Sample, generator: torch.Generator | None = None) -> ParamsT:
        """Draw the parameters that `forward` would draw for this sample."""
        return self.draw(open_sample(sample).plan, generator)

    def with_params(self, sample: Sample, params: ParamsT) -> Sample:
        """Transform a sample with given parameters."""
        opened = open_sample(sample)
        return opened.close(self.add(opened.plan, params))

    def extend(self, plan: Plan, generator: torch.Generator | None) -> Plan:
        """Draw parameters and add them to a plan."""
        return self.add(plan, self.draw(plan, generator))

    @abstractmethod
    def draw(self, plan: Plan, generator: torch.Generator | None = None) -> ParamsT:
        """Draw the parameters for the clip of a plan."""

    @abstractmethod
    def add(self, plan: Plan, params: ParamsT) -> Plan:
        """Return the plan with this transform added."""

    def extra_repr(self) -> str:
        settings = {k: v for k, v in vars(self).items() if not k.startswith("_")}
        settings.pop("training")
        return ", ".join(f"{name}={value}" for name, value in settings.items())


class GeometricTransform(ClipTransform[ParamsT]):
    """Base of transforms that move pixels by one affine matrix a frame."""

    @abstractmethod
    def step(self, params: ParamsT, shape: ClipShape) -> Step:
        """Return the step by which the parameters move a clip of this shape."""

    def add(self, plan: Plan, params: ParamsT) -> Plan:
        """Return the plan with one more step.

        Raises:
            ValueError: `step` did not return a Step of as many frames as the clip has.
        """
        step = self.step(params, plan.shape)
        if not isinstance(step, Step) or len(step.matrices) != plan.num_frames:
            got = f"{len(step.matrices)} matrices" if isinstance(step, Step) else f"{step!r}"
            name = type(self).__name__
            raise ValueError(f"{name} must give a Step of {plan.num_frames} frames, got {got}")
        return plan.then(step)


class FrameTransform(ClipTransform[ParamsT]):
    """Base of your own transforms from pixels to pixels.

    The pixels of the plan so far are made first. Implement `make_params` and `transform`.
    """

    @abstractmethod
    def make_params(self, sample: Sample, generator: torch.Generator | None = None) -> ParamsT:
        """Draw the parameters of one clip.

        `sample` is a dict with `video` and those of `masks`, `labels` and `ids` that there are.
        """

    @abstractmethod
    def transform(self, thing: Thing, params: ParamsT) -> Tensor:
        """Apply the parameters to all frames of `thing`; the axes before H and W stay.

        It is called with the frames, then with the masks.
        """

    def extend(self, plan: Plan, generator: torch.Generator | None) -> Plan:
        return super().extend(materialised(plan), generator)

    def draw(self, plan: Plan, generator: torch.Generator | None = None) -> ParamsT:
        made = materialised(plan)
        sample: dict[str, Any] = {"video": tv_tensors.Video(made.frames.clone())}
        if made.masks is not None:
            sample["masks"] = tv_tensors.Mask(made.masks.masks.clone())
        columns = {"labels": made.labels, "ids": made.ids}
        sample |= {key: column for key, column in columns.items() if column is not None}
        return self.make_params(sample, generator)

    def add(self, plan: Plan, params: ParamsT) -> Plan:
        """Return the plan of the transformed pixels.

        Raises:
            ValueError: `transform` returned something other than frames and masks, or the sample
                has boxes without masks, which `transform` cannot move.
        """
        name = type(self).__name__
        if plan.boxes is not None:
            raise ValueError(f"sample must have masks for {name}, got boxes alone")
        made = materialised(plan)
        # A copy: a user's transform may work in place.
        result = self.transform(tv_tensors.Video(made.frames.clone()), params)
        wanted = (made.num_frames, 3, "H", "W")
        frames = check_tensor(f"frames from {name}.transform", result, wanted, torch.uint8)
        if frames.numel() == 0:
            raise ValueError(f"frames from {name}.transform must have pixels, got none")
        size = (frames.shape[-2], frames.shape[-1])
        masks = made.masks
        if masks is not None:
            result = self.transform(tv_tensors.Mask(masks.masks.clone()), params)
            shape = (len(masks), made.num_frames, *size)
            masks = SourceMasks(
                check_tensor(f"masks from {name}.transform", result, shape, torch.bool)
            )
        start = Placement.start(made.num_frames, size)
        return replace(made, frames=frames, masks=masks, placement=start)


class ClipCompose(nn.Module):
    """Run clip transforms in order, all from one generator, and make the pixels once.

    All geometry is one warp a frame. Pixels are also made before a `FrameTransform`, and where a
    transform needs those after a paste.

    Args:
        transforms: `ClipTransform`s or `ClipCompose`s. Transforms of torchvision take no generator
            and are refused; with torch's default generator `v2.Compose` holds both kinds.
        probability: that the list is applied to a clip; drawn only if it is below 1.

    Raises:
        ValueError: a member is not a clip transform, or the probability is outside [0, 1].
    """

    def __init__(
        self, transforms: Sequence[ClipTransform | ClipCompose], probability: float = 1.0
    ) -> None:
        super().__init__()
        if not isinstance(transforms, Iterable):
            raise ValueError(f"transforms must be a list, got {type(transforms).__name__}")
        members = list(transforms)
        for index, member in enumerate(members):
            if not isinstance(member, (ClipTransform, ClipCompose)):
                raise ValueError(
                    f"transforms[{index}] must be a ClipTransform or ClipCompose, "
                    f"got {type(member).__name__}"
                )
        self.transforms = nn.ModuleList(members)
        self.probability = check_number("probability", probability, 0.0, 1.0)

    def forward(self, *inputs: Any, generator: torch.Generator | None = None) -> Sample:
        """Transform a sample; see `ClipTransform.forward`."""
        sample, generator = read_call(inputs, generator)
        opened = open_sample(sample)
        return opened.close(self.extend(opened.plan, generator))

    def extend(self, plan: Plan, generator: torch.Generator | None) -> Plan:
        """Add every member to a plan, or none."""
        if self.probability < 1.0 and not chance(self.probability, generator):
            return plan
        for member in self.transforms:
            assert isinstance(member, (ClipTransform, ClipCompose))
            plan = member.extend(plan, generator)
        return plan

    def extra_repr(self) -> str:
        return f"probability={self.probability}"


def read_call(
    inputs: Sequence[Any], generator: torch.Generator | None
) -> tuple[Any, torch.Generator | None]:
    """Return the sample and the generator of a call.

    Raises:
        ValueError: there is no sample, or the last argument is neither a generator on the CPU nor
            a part of the sample.
    """
    more = list(inputs)
    if len(more) > 1 and (more[-1] is None or isinstance(more[-1], torch.Generator)):
        generator = more.pop()
    elif len(more) > 1 and not isinstance(more[-1], (Mapping, list, tuple, Tensor)):
        got = type(more[-1]).__name__
        raise ValueError(f"generator must be a torch.Generator or None, got {got}")
    if not more:
        raise ValueError("sample must hold an image or a video, got nothing")
    if generator is not None and generator.device.type != "cpu":
        raise ValueError(f"generator must be on the CPU, got one on {generator.device}")
    return (more[0] if len(more) == 1 else tuple(more)), generator
