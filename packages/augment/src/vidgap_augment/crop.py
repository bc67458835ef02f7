"""Crops of a whole clip: a random window, still or sliding, and the fixed crop of LSJ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from vidgap_augment.arguments import check_counts, check_number, check_size
from vidgap_augment.draw import chance, integer, uniform, uniforms
from vidgap_augment.geometry import ClipShape, Size, Step, translation
from vidgap_augment.plan import Plan
from vidgap_augment.transform import GeometricTransform


@dataclass(frozen=True)
class Windows:
    """Windows of a clip: their `size` (H, W), and (top, left) in pixels for each frame."""

    size: tuple[int, int]
    offsets: tuple[tuple[int, int], ...]


class ClipCrop(GeometricTransform[Windows | None]):
    """Cut a window of random size out of every frame of a clip.

    Each side of the window is drawn from `absolute_range`, both ends included, and is at most the
    frame's. `sliding` moves the window from one random corner to another, at T sorted random
    fractions of the way: a camera move for pseudo-clips. Otherwise it stays, as CTVIS crops real
    clips. CTVIS draws the second corner to the right of and below the first and reverses half of
    the clips; here both may be anywhere, so all directions occur.

    Args:
        absolute_range: smallest and largest side in pixels.
        sliding: whether the window moves.
        probability: that the clip is cut at all; one decision a clip.

    Raises:
        ValueError: a side below 1 or the range out of order, or a probability outside [0, 1].
    """

    def __init__(
        self,
        absolute_range: Sequence[int] = (384, 600),
        sliding: bool = False,
        probability: float = 0.5,
    ) -> None:
        super().__init__()
        low, high = check_counts("absolute_range", absolute_range, length=2)
        if low > high:
            raise ValueError(
                f"absolute_range must be (smallest, largest), got {tuple(absolute_range)}"
            )
        self.absolute_range = (low, high)
        self.sliding = sliding
        self.probability = check_number("probability", probability, 0.0, 1.0)

    def draw(self, plan: Plan, generator: torch.Generator | None = None) -> Windows | None:
        """Draw the windows, or None: no crop."""
        if not chance(self.probability, generator):
            return None
        num_frames, *frame_size = plan.shape
        low, high = self.absolute_range
        height, width = (integer(min(low, side), min(high, side), generator) for side in frame_size)
        room = (frame_size[0] - height, frame_size[1] - width)
        start = _corner(room, generator)
        if not self.sliding:
            return Windows((height, width), (start,) * num_frames)
        end = _corner(room, generator)
        fractions = sorted(uniforms(num_frames, 0.0, 1.0, generator))
        return Windows((height, width), tuple(_between(start, end, f) for f in fractions))

    def step(self, params: Windows | None, shape: ClipShape) -> Step:
        if params is None:
            whole = Windows((shape.height, shape.width), ((0, 0),) * shape.num_frames)
            return cutting(whole, whole.size)
        return cutting(params, params.size)


class ClipFixedCrop(GeometricTransform[Windows]):
    """Cut and pad a clip to exactly `size`: the cropping half of large-scale jitter.

    A side that is too long is cut at a random offset, the same in all frames; a side that is too
    short is padded on the right or at the bottom. The two axes draw a number each; Mask2Former
    draws one for both (docs/paper.md#lsj).

    Args:
        size: (height, width) of the result.
        pad_value: grey level of padded pixels, 0..255; padded masks are empty.

    Raises:
        ValueError: a size below 1 or a pad value outside 0..255.
    """

    def __init__(self, size: Sequence[int], pad_value: int = 128) -> None:
        super().__init__()
        self.size = check_size("size", size)
        self.pad_value = int(check_number("pad_value", pad_value, 0, 255))

    def draw(self, plan: Plan, generator: torch.Generator | None = None) -> Windows:
        """Draw the window, no larger than the frame."""
        num_frames, height, width = plan.shape
        window = (min(height, self.size[0]), min(width, self.size[1]))
        top = round(uniform(0.0, 1.0, generator) * (height - window[0]))
        left = round(uniform(0.0, 1.0, generator) * (width - window[1]))
        return Windows(window, ((top, left),) * num_frames)

    def step(self, params: Windows, shape: ClipShape) -> Step:  # noqa: ARG002
        return cutting(params, self.size, self.pad_value)


def cutting(windows: Windows, size: Size, fill: int = 0) -> Step:
    """Return the step that moves each frame's window to the corner of a canvas of `size`."""
    return Step(np.stack([translation(-left, -top) for top, left in windows.offsets]), size, fill)


def _corner(room: tuple[int, int], generator: torch.Generator | None) -> tuple[int, int]:
    return integer(0, room[0], generator), integer(0, room[1], generator)


def _between(start: tuple[int, int], end: tuple[int, int], fraction: float) -> tuple[int, int]:
    """Return the whole pixel at `fraction` of the way from `start` to `end`."""
    top, left = (round(a + (b - a) * fraction) for a, b in zip(start, end, strict=True))
    return top, left
