"""Objects that wander, as the run lengths of their masks, which are never drawn.

A column of an object's mask is what lies between two smooth edges, less a slit where it has one.
Letters: T frames, X columns of an object.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]

SAMPLES = 1024


@dataclass(frozen=True)
class Blob:
    """An object of a video.

    Attributes:
        centre: (T, 2), (x, y) in pixels.
        half: (T, 2), half its width and height.
        shown: (T,) bool.
        profiles: (3, SAMPLES), from left to right: how far its upper and lower edge lie off an
            ellipse, and how thick its slit is where that is above 0, in parts of the height.
    """

    centre: Doubles
    half: Doubles
    shown: NDArray[np.bool_]
    profiles: Doubles

    @classmethod
    def drawn(cls, rng: np.random.Generator, num_frames: int, size: tuple[int, int]) -> Blob:
        """Draw one; it may come late, leave early and be away for a few frames."""
        height, width = size
        steps = np.arange(num_frames)[:, None]
        start, speed = rng.uniform(0.1, 0.9, 2), rng.uniform(-0.02, 0.02, 2)
        half = np.exp(rng.uniform(np.log(0.07), np.log(0.45), 2)) * height
        first, last = rng.integers(-num_frames, num_frames // 6 + 1), rng.integers(num_frames)
        away = rng.random(num_frames) < 0.05
        turns = np.linspace(-1, 1, SAMPLES) * rng.integers(1, 40, (3, 5, 1))
        waves = rng.uniform(0, 0.1, (3, 5, 1)) * np.sin(turns + 6.3 * rng.random((3, 5, 1)))
        return cls(
            np.abs((start + speed * steps + 1) % 2 - 1) * (width, height),
            half * np.exp(0.2 * np.sin(steps * rng.uniform(0.05, 0.3, 2))),
            (steps[:, 0] >= first) & (steps[:, 0] <= last + num_frames * 2 // 3) & ~away,
            waves.sum(axis=1) - [[0], [0], [0.05]],
        )

    def shifted(self, by: Doubles) -> Blob:
        """Return it elsewhere: (2,) pixels."""
        return replace(self, centre=self.centre + by)

    def becoming(self, other: Blob, frame: int) -> Blob:
        """Return what takes over another's place and size from a frame on, with its own edges."""

        def joined(name: str) -> NDArray[np.generic]:
            return np.concatenate([getattr(self, name)[:frame], getattr(other, name)[frame:]])

        return replace(self, **{name: joined(name) for name in ("centre", "half", "shown")})

    def run_lengths(self, size: tuple[int, int]) -> list[Ints | None]:
        """Return the run lengths of its mask in each frame; None where nothing is to be seen."""
        height, width = size
        half = self.half[:, :, None]  # (T, 2, 1)
        left = np.floor(self.centre[:, 0] - half[:, 0, 0]).astype(np.int64)
        columns = left[:, None] + np.arange(int(2 * half[:, 0].max()) + 2)  # (T, X)
        across = (columns - self.centre[:, :1]) / half[:, 0]
        samples = ((across.clip(-1, 1) + 1) * (SAMPLES / 2 - 1)).astype(np.int64)
        upper, lower, slit = self.profiles[:, samples]  # (T, X) each
        thick = half[:, 1] * np.sqrt(np.clip(1 - across**2, 0, None))
        middle = self.centre[:, 1:]
        top = np.clip(middle - thick * (1 + upper), 0, height - 1).astype(np.int64)
        bottom = np.clip(middle + thick * (1 + lower), 0, height - 1).astype(np.int64)
        slit_top = np.where(slit > 0, middle + thick * 0.5, bottom).astype(np.int64)
        slit_bottom = slit_top + 1 + (thick * slit.clip(0)).astype(np.int64)
        begins = np.stack([top, np.maximum(top, slit_bottom)], axis=-1)  # (T, X, 2)
        ends = np.stack([np.minimum(slit_top, bottom), bottom], axis=-1)
        in_sight = self.shown[:, None] & (columns >= 0) & (columns < width)
        keep = (begins < ends) & in_sight[..., None]
        return _per_frame(begins + height * columns[..., None], ends - begins, keep, height * width)


def _per_frame(
    begins: Ints, lengths: Ints, keep: NDArray[np.bool_], pixels: int
) -> list[Ints | None]:
    """Return the run lengths of each frame from the begins and lengths of runs, (T, X, 2)."""
    masks: list[Ints | None] = []
    for begin, length, kept in zip(begins, lengths, keep, strict=True):
        begin, length = begin[kept], length[kept]
        if not len(begin):
            masks.append(None)
            continue
        edges = np.empty(2 * len(begin) + 2, np.int64)
        edges[0], edges[-1] = 0, pixels
        edges[1:-1:2], edges[2:-1:2] = begin, begin + length
        masks.append(np.diff(edges))
    return masks


def compressed(masks: list[Ints | None]) -> list[str | None]:
    """Return run lengths as COCO's strings; each mask has three or more."""
    present = [mask for mask in masks if mask is not None]
    if not present:
        return [None] * len(masks)
    numbers = np.concatenate([np.r_[mask[:3], mask[3:] - mask[1:-2]] for mask in present])
    sizes = 1 + sum(np.abs(2 * numbers + 1) > limit for limit in (32, 1 << 10, 1 << 15, 1 << 20))
    ends = np.cumsum(sizes)
    text = np.empty(ends[-1], np.uint8)
    for digit in range(sizes.max()):
        there = np.flatnonzero(sizes > digit)
        number, size = numbers[there], sizes[there]
        more = (size > digit + 1) * 32
        text[ends[there] - size + digit] = ord("0") + ((number >> 5 * digit) & 31) + more
    whole = text.tobytes().decode("ascii")
    stops = ends[np.cumsum([len(mask) for mask in present]) - 1].tolist()
    strings = iter([whole[a:b] for a, b in zip([0, *stops[:-1]], stops, strict=True)])
    return [None if mask is None else next(strings) for mask in masks]
