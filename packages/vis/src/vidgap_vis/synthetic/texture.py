"""How instances look: a pattern in two colours, and small spots that tell one from another.

The kind of pattern goes with the class. Look-alikes share the colours, the pattern and its scale;
only the pattern's direction and the positions of three spots, of one size and one colour for all,
are an individual's own. So they have nearly the same colours in nearly the same amounts, and yet
can be told apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vidgap_vis.synthetic.colour import FloatArray, oklch

NUM_SPOTS = 3
SPOT_RADIUS = 0.15
"""Of the instance's own radius."""


@dataclass(frozen=True, eq=False)
class Look:
    """The appearance of one instance, in its own coordinates (its radius is 1).

    Attributes:
        pattern: a name of PATTERNS.
        colours: base, second and spot colour, (3, 3) float32 sRGB in [0, 1].
        frequency: of the pattern, in radians a radius.
        direction_rad: by which the pattern is turned against the outline.
        spots: centres of the spots, (NUM_SPOTS, 2).
    """

    pattern: str
    colours: FloatArray
    frequency: float
    direction_rad: float
    spots: NDArray[np.float64]


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


def draw_look(pattern: str, rng: np.random.Generator) -> Look:
    """Draw a look with this pattern: two colours of similar hue, and light or dark spots."""
    hue, chroma = rng.random(), rng.uniform(0.09, 0.16, 2)
    base = oklch(rng.uniform(0.74, 0.86), chroma[0], hue)
    second = oklch(rng.uniform(0.42, 0.56), chroma[1], hue + rng.uniform(-0.14, 0.14))
    spot = oklch(0.96, 0.03, hue + 0.1) if rng.random() < 0.5 else oklch(0.2, 0.04, hue + 0.1)
    return Look(
        pattern=pattern,
        colours=np.stack([base, second, spot]),
        frequency=rng.uniform(6.5, 10.0),
        direction_rad=rng.uniform(0, 2 * np.pi),
        spots=draw_spots(rng),
    )


def draw_lookalike(look: Look, rng: np.random.Generator) -> Look:
    """Draw another individual: of some, the one whose spots hide as much of each colour."""
    candidates = [
        replace(look, direction_rad=rng.uniform(0, 2 * np.pi), spots=draw_spots(rng))
        for _ in range(8)
    ]
    wanted = hidden_share(look)
    return min(candidates, key=lambda candidate: abs(hidden_share(candidate) - wanted))


def draw_spots(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw the centres (NUM_SPOTS, 2) of spots that do not touch one another."""
    least = 0.75  # between two neighbours, in radians
    gaps = least + rng.dirichlet(np.ones(NUM_SPOTS)) * (2 * np.pi - NUM_SPOTS * least)
    angles = rng.uniform(0, 2 * np.pi) + np.cumsum(gaps)
    distances = rng.uniform(0.42, 0.62, NUM_SPOTS)
    return distances[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def hidden_share(look: Look) -> float:
    """Return the share of the second colour among what the spots hide."""
    angles = np.arange(8) * (np.pi / 4)
    ring = 0.7 * SPOT_RADIUS * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    points = (look.spots[:, None] + ring).astype(np.float32)  # (NUM_SPOTS, 8, 2)
    return float(blend(look, points[..., 0], points[..., 1]).mean())


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
    base, second, spot = look.colours
    picture = base + blend(look, x, y)[:, :, None] * (second - base)
    for spot_x, spot_y in look.spots.astype(np.float32):
        inside = (SPOT_RADIUS - np.hypot(x - spot_x, y - spot_y)) / (0.75 * pixel)
        picture += np.clip(0.5 + inside, 0, 1)[:, :, None] * (spot - picture)
    return picture.astype(np.float32)
