"""A clip before its pixels are made: the source, and where each pixel of it goes.

Transforms of a `ClipCompose` add to a plan instead of making pixels, so a frame is warped once,
from its source, however many geometric transforms there are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from vidgap_augment.boxes import boxes_from_masks
from vidgap_augment.frames import as_array
from vidgap_augment.geometry import Box, ClipShape, Placement, Step
from vidgap_augment.warp import bounding_box


@dataclass(frozen=True, eq=False)
class SourceMasks:
    """The masks of a source, with their boxes and areas.

    Attributes:
        masks: (N, S, H, W) bool; S is 1 for a still, else T.
    """

    masks: Tensor

    def __len__(self) -> int:
        return len(self.masks)

    @property
    def is_still(self) -> bool:
        """Whether all frames show the same masks."""
        return self.masks.shape[1] == 1

    @cached_property
    def boxes(self) -> list[list[Box]]:
        """The box of each instance in each source frame, N lists of S; zeros where it is absent."""
        if self.masks.device.type == "cpu":
            return [[bounding_box(mask) for mask in masks] for masks in as_array(self.masks)]
        boxes = boxes_from_masks(self.masks).long().reshape(*self.masks.shape[:2], 4).tolist()
        return [[(left, top, right, bottom) for left, top, right, bottom in row] for row in boxes]

    @cached_property
    def areas(self) -> list[list[int]]:
        """The pixels of each instance in each source frame, N lists of S."""
        return [
            [
                int(mask[top:bottom, left:right].count_nonzero())
                for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True)
            ]
            for masks, boxes in zip(self.masks, self.boxes, strict=True)
        ]


@dataclass(frozen=True, eq=False)
class Paste:
    """An instance pasted in front of all others before it.

    Attributes:
        frames: the source it is cut from, (S, 3, H, W) uint8; S is 1 for a still, else T.
        masks: of that source.
        instance: its row in these masks.
        shown: whether each of the T frames shows it.
        placement: of its source.
    """

    frames: Tensor
    masks: SourceMasks
    instance: int
    shown: tuple[bool, ...]
    placement: Placement


@dataclass(frozen=True, eq=False)
class Plan:
    """What a clip is made from, and how.

    Attributes:
        frames: the source, (S, 3, H, W) uint8; S is 1 for a still that all frames show, else T.
        placement: of the source in the T frames.
        masks: of the N instances of the source; None if the sample has no masks.
        boxes: (N, S, 4) float XYXY; only if there are boxes but no masks.
        labels: (N + P,), the instances, then the pastes; None if the sample has none.
        ids: (N + P,), one identity an instance; None if the sample has none.
        crowds: (N + P,), whether each is a crowd; None if the sample does not say.
        pastes: P instances pasted in front, the last foremost; only if there are masks.
        next_id: an id that no instance of the sample has had.
        is_image: whether the sample holds an image, not a clip.
    """

    frames: Tensor
    placement: Placement
    masks: SourceMasks | None = None
    boxes: Tensor | None = None
    labels: Tensor | None = None
    ids: Tensor | None = None
    crowds: Tensor | None = None
    pastes: tuple[Paste, ...] = ()
    next_id: int = 0
    is_image: bool = False

    @property
    def num_frames(self) -> int:
        """T."""
        return len(self.placement.matrices)

    @property
    def shape(self) -> ClipShape:
        """T, H, W of the clip planned so far."""
        return ClipShape(self.num_frames, *self.placement.size)

    def masks_for(self, transform: nn.Module) -> SourceMasks | None:
        """Return the masks that a transform needs; None if the sample has no instances at all.

        Raises:
            ValueError: there are instances, but without masks.
        """
        if self.masks is None and (self.boxes is not None or self.labels is not None):
            raise ValueError(f"sample must have masks for {type(transform).__name__}, got none")
        return self.masks

    @property
    def is_made(self) -> bool:
        """Whether the source already is the clip."""
        stills = len(self.frames) < self.num_frames or (
            self.masks is not None and self.masks.masks.shape[1] < self.num_frames
        )
        return self.placement.is_start and not (stills or self.pastes)

    def then(self, step: Step) -> Plan:
        """Return the plan with one more geometric step."""
        pastes = tuple(
            replace(paste, placement=paste.placement.then(step)) for paste in self.pastes
        )
        return replace(self, placement=self.placement.then(step), pastes=pastes)

    def replicated(self, num_frames: int) -> Plan:
        """Return the plan of a clip of `num_frames` frames that all show this plan's image.

        Instance n has the id n unless the image has ids.
        """
        ids, next_id = self.ids, self.next_id
        if ids is None and self.labels is not None:
            ids = torch.arange(len(self.labels), device=self.labels.device)
            next_id = len(ids)
        pastes = tuple(
            replace(
                paste,
                shown=paste.shown * num_frames,
                placement=paste.placement.repeated(num_frames),
            )
            for paste in self.pastes
        )
        placement = self.placement.repeated(num_frames)
        return replace(
            self, placement=placement, pastes=pastes, ids=ids, next_id=next_id, is_image=False
        )
