"""The frames of a video in the groups that the model sees at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from vidgap_vis.video.sources import Frame, SourceGoneError

AnyFrame = npt.NDArray[np.uint8] | Image.Image | Tensor | Frame
AnyFrameT = TypeVar("AnyFrameT", npt.NDArray[np.uint8], Image.Image, Tensor, Frame)


@dataclass(frozen=True)
class Group:
    """T frames that the model sees at once.

    Attributes:
        pixels: the T frames, (H, W, 3) uint8.
        repeated: how many of them, from the first, the group before had too.
        repeated_next: how many, the last ones, the next group begins with again.
        begins: whether none comes before, so that the model begins without a state.
        given: the T - repeated new frames as they were given, where they are wanted back.
        look: whether this is the first of two passes over the video, which shows nothing.
    """

    pixels: tuple[Tensor, ...]
    repeated: int
    repeated_next: int
    begins: bool
    given: tuple[Any, ...] = ()
    look: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the frames."""
        height, width, _ = self.pixels[0].shape
        return height, width


class Grouping:
    """Gathers frames as they come until they are a group.

    Args:
        latency: frames of a group; the last may have fewer.
        repeated: how many of them, the last ones, the next group begins with again.
        after: `shared` of frames that the model has seen before these; None: it has seen none.

    Attributes:
        waiting: frames that are in no group yet.
        shared: the last ones of the group before, with which the next one begins.
    """

    def __init__(
        self, latency: int, repeated: int = 0, after: tuple[Tensor, ...] | None = None
    ) -> None:
        self.latency = latency
        self.repeated = repeated
        self._size: tuple[int, int] | None = None
        self.waiting: list[Tensor] = []
        self.shared: tuple[Tensor, ...] = after or ()
        self._begins = after is None

    def add(self, frame: AnyFrame) -> Group | None:
        """Take the next frame; return the group that it completes.

        Raises:
            ValueError: it is no frame (`as_pixels`), or its size differs from the first one's.
        """
        pixels = as_pixels(frame)
        size = (pixels.shape[0], pixels.shape[1])
        if self._size not in (None, size):
            raise ValueError(f"every frame of a video must be {self._size}, got {size}")
        self._size = size
        self.waiting.append(pixels)
        whole = len(self.shared) + len(self.waiting) == self.latency
        return self.rest() if whole else None

    def rest(self) -> Group | None:
        """Return the frames that wait as a group; None: there is none."""
        if not self.waiting:
            return None
        # They wait no more: a frame at which a step fails is not given to the next one.
        pixels, self.waiting = (*self.shared, *self.waiting), []
        return Group(pixels, len(self.shared), min(self.repeated, len(pixels)), self._begins)

    def done(self, group: Group) -> None:
        """Let the next group follow one that the model has seen."""
        self.shared = group.pixels[len(group.pixels) - group.repeated_next :]
        self._begins = False

    def clear(self) -> None:
        """Drop all frames."""
        self.waiting.clear()
        self.shared = ()


def groups(
    frames: Iterable[AnyFrameT],
    latency: int,
    repeated: int = 0,
    after: tuple[Tensor, ...] | None = None,
) -> Iterator[Group]:
    """Yield a video's groups, with the frames as they were given.

    Arguments and errors as `Grouping`'s. Where the source goes away, its last frames come before
    that error.
    """
    grouping = Grouping(latency, repeated, after)
    given: list[AnyFrameT] = []
    gone: SourceGoneError | None = None
    try:
        for frame in frames:
            group = grouping.add(frame)
            given.append(frame)
            if group is not None:
                grouping.done(group)
                group, given = replace(group, given=tuple(given)), []
                yield group
                del group  # nothing is held while the next frames come
    except SourceGoneError as error:
        gone = error  # after the frames that came before
    rest = grouping.rest()
    if rest is not None:
        yield replace(rest, given=tuple(given))
    if gone is not None:
        raise gone


def as_pixels(frame: AnyFrame) -> Tensor:
    """Return a copy of a frame as (H, W, 3) uint8, on the device where it is.

    Raises:
        ValueError: it is not an ndarray (H, W, 3) uint8, a PIL image, a tensor (3, H, W) uint8 or a
            source's `Frame`.
    """
    if isinstance(frame, Frame):
        frame = frame.picture
    if isinstance(frame, Image.Image):
        frame = np.array(frame.convert("RGB"))
    if isinstance(frame, np.ndarray):
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise ValueError(f"frame must be (H, W, 3) uint8, got {frame.shape} {frame.dtype}")
        return torch.from_numpy(np.array(frame))  # a copy: the caller's may change
    if isinstance(frame, Tensor):
        if frame.ndim != 3 or frame.shape[0] != 3 or frame.dtype != torch.uint8:
            raise ValueError(
                f"frame must be (3, H, W) uint8, got {tuple(frame.shape)} {frame.dtype}"
            )
        return frame.permute(1, 2, 0).clone()
    raise ValueError(
        f"frame must be an ndarray, a PIL image or a tensor, got {type(frame).__name__}"
    )
