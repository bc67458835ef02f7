"""How instances look: a pattern in two colours, and marks that tell one from another.

The kind of pattern goes with the class. Look-alikes share the colours, the pattern and its scale;
only the pattern's direction and the shapes of the marks, of one size and one colour for all, are
an individual's own. So they have nearly the same colours in nearly the same amounts, and yet can
be told apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from vidgap_vis.synthetic.colour import FloatArray, oklch
from vidgap_vis.synthetic.marks import Mark, draw_kinds, draw_marks
from vidgap_vis.synthetic.shapes import OUTLINES


@dataclass(frozen=True, eq=False)
class Look:
    """The appearance of one instance, in its own coordinates (its radius is 1).

    Attributes:
        pattern: a name of PATTERNS.
        colours: base, second and mark colour, (3, 3) float32 sRGB in [0, 1].
        frequency: of the pattern, in radians a radius.
        direction_rad: by which the pattern is turned against the outline.
        marks: what tells it from its look-alikes.
    """

    pattern: str
    colours: FloatArray
    frequency: float
    direction_rad: float
    marks: tuple[Mark, ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of its marks."""
        return tuple(mark.kind for mark in self.marks)


def stripes(x: FloatArray, y: FloatArray, frequency: float) -> FloatArray:
    """Return waving stripes."""
    return np.sin(frequency * x + 0.8 * np.sin(2.5 * y))


def checks(x: FloatArray, y: FloatArray, frequency: float) -> FloatArray:
    """Return a checkerboard."""
    return 2 * np.sin(0.7 * frequency * x) * np.sin(0.7 * frequency * y)


def dots(x: FloatArray, y: FloatArray, frequency: float) -> FloatArray:
    """Return dots on a hexagonal lattice."""
    slant = np.float32(0.75**0.5) * y
    waves = np.cos(frequency * (0.5 * x + slant)) + np.cos(frequency * (0.5 * x - slant))
    return 0.9 * (np.cos(frequency * x) + waves) - 0.4


def swirl(x: FloatArray, y: FloatArray, frequency: float) -> FloatArray:
    """Return three arms that wind about the centre."""
    return np.sin(3 * np.arctan2(y, x) + 0.6 * frequency * np.hypot(x, y))


PATTERNS: dict[str, Callable[[FloatArray, FloatArray, float], FloatArray]] = {
    "disc": stripes,
    "square": checks,
    "triangle": dots,
    "star": swirl,
}
"""The pattern of each class: a wave in about [-1, 1] over points of the instance."""


def draw_look(pattern: str, num_marks: int, mark_size: float, rng: np.random.Generator) -> Look:
    """Draw a look with this pattern: two colours of similar hue, and lighter or darker marks."""
    hue, chroma = rng.random(), rng.uniform(0.09, 0.16, 2)
    dark = rng.random() < 0.5
    lightness = rng.uniform(0.78, 0.86) if dark else rng.uniform(0.6, 0.68)
    base = oklch(lightness, chroma[0], hue)
    second = oklch(lightness - rng.uniform(0.16, 0.22), chroma[1], hue + rng.uniform(-0.14, 0.14))
    mark = oklch(0.18 if dark else 0.97, 0.03, hue + 0.1)
    return Look(
        pattern=pattern,
        colours=np.stack([base, second, mark]),
        frequency=rng.uniform(6.5, 10.0),
        direction_rad=rng.uniform(0, 2 * np.pi),
        marks=draw_marks(draw_kinds(num_marks, [], rng), mark_size, rng),
    )


def draw_lookalike(group: list[Look], rng: np.random.Generator) -> Look:
    """Draw another individual: of some, the one that shows as much of each colour as the first."""
    look = group[0]
    kinds = draw_kinds(len(look.marks), [other.kinds for other in group], rng)
    candidates = [
        replace(
            look,
            direction_rad=rng.uniform(0, 2 * np.pi),
            marks=draw_marks(kinds, look.marks[0].radius, rng),
        )
        for _ in range(8)
    ]
    wanted = shown_share(look)
    return min(candidates, key=lambda candidate: abs(shown_share(candidate) - wanted))


def shown_share(look: Look) -> float:
    """Return the share of the second colour in what the marks leave of the instance."""
    axis = np.linspace(-1.5, 1.5, 32, dtype=np.float32)
    x, y = axis[None, :], axis[:, None]
    bare = OUTLINES[look.pattern].radial_position(x, y) < 1
    for mark in look.marks:
        bare &= mark.depth(x, y) < 0
    return float(blend(look, x, y)[bare].mean())


def blend(look: Look, x: FloatArray, y: FloatArray) -> FloatArray:
    """Return how much of the second colour points of the instance have, in [0, 1]."""
    cos, sin = np.float32(np.cos(look.direction_rad)), np.float32(np.sin(look.direction_rad))
    wave = PATTERNS[look.pattern](cos * x + sin * y, cos * y - sin * x, look.frequency)
    return np.clip(0.5 + 1.6 * wave, 0, 1).astype(np.float32)


def paint(look: Look, side: int, extent: float) -> FloatArray:
    """Return the look as a picture, (side, side, 3) float32, over [-extent, extent] both ways."""
    pixel = 2 * extent / side
    axis = ((np.arange(side) + 0.5) * pixel - extent).astype(np.float32)
    x, y = axis[None, :], axis[:, None]
    base, second, colour = look.colours
    picture = base + blend(look, x, y)[:, :, None] * (second - base)
    for mark in look.marks:
        share = np.clip(0.5 + mark.depth(x, y) / np.float32(pixel), 0, 1)
        picture += share[:, :, None] * (colour - picture)
    return picture.astype(np.float32)
