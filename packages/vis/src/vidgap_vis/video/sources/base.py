"""What every source of frames is: one video, read lazily, one frame in memory at a time.

Frames are RGB, (H, W, 3), uint8, from the decoder to the model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vidgap_vis.errors import InputError
from vidgap_vis.formats.images import Picture


@dataclass(frozen=True)
class Frame:
    """A frame with its place in its source.

    Attributes:
        picture: (H, W, 3) uint8, RGB.
        index: 0 for the source's first frame.
        time: seconds after the source's first frame; None: the source does not say.
    """

    picture: Picture
    index: int
    time: Fraction | None


@dataclass(frozen=True)
class Shot:
    """A frame that is not a picture yet: those that are passed over never become one.

    Attributes:
        index: as `Frame`.
        time: as `Frame`.
        picture: makes it, once, before the next shot is asked for.
    """

    index: int
    time: Fraction | None
    picture: Callable[[], Picture]


class SourceGoneError(InputError):
    """A camera or a stream broke off; what came before is as good as a whole video."""


class FrameSource(ABC):
    """Frames of one video; iterating again starts again, unless it is live.

    Attributes:
        path: for messages: a file, a folder, a URL or a camera's name.
        size: (H, W) of every frame.
        fps: frames a second; None where the source does not say.
        num_frames: how many frames there are; None where that is known only at the end.
        live: whether each frame is there once, as a camera's.
    """

    path: str | Path
    size: tuple[int, int]
    fps: Fraction | None = None
    num_frames: int | None = None
    live: bool = False

    @abstractmethod
    def shots(self) -> Generator[Shot]:
        """Yield the frames in order.

        Raises:
            InputError: one does not decode, or the source fails.
        """

    def number(self, index: int) -> int:
        """Return the number of the `index`th frame that `shots` yields, both from 0."""
        return index

    def frames(self) -> Iterator[Frame]:
        """Yield the frames with their places; errors as `shots`."""
        for shot in self.shots():
            yield Frame(shot.picture(), shot.index, shot.time)

    def __iter__(self) -> Iterator[Picture]:
        """Yield the pictures; errors as `shots`."""
        for shot in self.shots():
            yield shot.picture()


def check_size(frame: Picture, size: tuple[int, int], path: Path, item: str) -> None:
    """Raise InputError where a frame has another size, (H, W), than wanted."""
    if frame.shape[:2] != size:
        got = f"{frame.shape[1]}x{frame.shape[0]}"
        wanted = f"{size[1]}x{size[0]} (width x height)"
        raise InputError(path, item, f"every frame must be {wanted}, got {got}")
