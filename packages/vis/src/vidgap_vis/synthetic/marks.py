"""The marks that tell look-alikes apart: shapes of equal area and about equal circumference.

An individual is known by the kinds of its marks, such as a ring and a cross, whatever their
places and however it is turned. All have one colour and cover as much, edges included, so colours
and their amounts say nothing; and they are large enough for features at stride 4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np

from vidgap_vis.synthetic.colour import FloatArray


@dataclass(frozen=True)
class Mark:
    """One mark on an instance, in the instance's coordinates (its radius is 1).

    Attributes:
        kind: a name of KINDS.
        x, y: its centre.
        angle_rad: by which it is turned.
        radius: that of the disc of equal area.
    """

    kind: str
    x: float
    y: float
    angle_rad: float
    radius: float

    def depth(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Return how far inside the mark points of the instance lie; negative outside."""
        dx, dy = x - np.float32(self.x), y - np.float32(self.y)
        cos = np.float32(np.cos(self.angle_rad) / self.radius)
        sin = np.float32(np.sin(self.angle_rad) / self.radius)
        inside = KINDS[self.kind](cos * dx + sin * dy, cos * dy - sin * dx)
        return np.float32(self.radius) * inside


def ring(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return the depth inside a ring."""
    return (0.3 - np.abs(np.hypot(x, y) - 0.833)).astype(np.float32)


def bar(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return the depth inside a bar."""
    return np.minimum(1.87 - np.abs(x), 0.42 - np.abs(y))


def bars(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return the depth inside the nearer of two parallel bars."""
    return np.minimum(0.87 - np.abs(x), 0.4515 - np.abs(np.abs(y) - 1.05))


def cross(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return the depth inside two bars that cross."""
    x, y = np.abs(x), np.abs(y)
    return np.minimum(1.3 - np.maximum(x, y), 0.352 - np.minimum(x, y))


def trio(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return the depth inside the nearest of three discs."""
    below = np.hypot(x + 0.525, np.abs(y) - 0.909)
    return 0.577 - np.minimum(np.hypot(x - 1.05, y), below)


KINDS: dict[str, Callable[[FloatArray, FloatArray], FloatArray]] = {
    "bar": bar,
    "bars": bars,
    "cross": cross,
    "ring": ring,
    "trio": trio,
}
"""The depth inside each kind, of points in the mark's own coordinates, where its area is pi."""


def draw_kinds(num: int, taken: list[tuple[str, ...]], rng: np.random.Generator) -> tuple[str, ...]:
    """Draw the kinds of `num` marks: of all sets, one that shares least with any that is taken."""
    sets = list(combinations_with_replacement(KINDS, num))
    shared = [max((num_shared(one, other) for other in taken), default=0) for one in sets]
    free = [one for one, count in zip(sets, shared, strict=True) if count == min(shared)]
    return free[int(rng.integers(len(free)))]


def num_shared(first: tuple[str, ...], second: tuple[str, ...]) -> int:
    """Return how many marks of two sets can be paired with one of the same kind."""
    return sum(min(first.count(kind), second.count(kind)) for kind in KINDS)


def draw_marks(kinds: tuple[str, ...], radius: float, rng: np.random.Generator) -> tuple[Mark, ...]:
    """Draw marks of these kinds: one near the instance's centre, or several round about it."""
    num = len(kinds)
    distances = (0.1 if num == 1 else 0.45) * rng.uniform(0.85, 1.1, num)
    turns = rng.permutation(num) + rng.uniform(-0.08, 0.08, num)
    angles = rng.uniform(0, 2 * np.pi) + 2 * np.pi * turns / num
    tilts = rng.uniform(0, 2 * np.pi, num)
    return tuple(
        Mark(kind, float(x), float(y), float(tilt), radius)
        for kind, x, y, tilt in zip(
            kinds, distances * np.cos(angles), distances * np.sin(angles), tilts, strict=True
        )
    )
