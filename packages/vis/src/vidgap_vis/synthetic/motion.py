"""How instances move: smooth paths on which neighbours meet again and again.

A dance alternates between two kinds of knots. At one kind all instances stand apart; at the other
they meet in pairs, look-alikes with look-alikes first, one in front of the other. After a meeting
the two have passed each other, or have turned back; some leave the frame, and come again. Cubic
splines join the knots, and a clip is the start of that dance. A still shows a first approach.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from vidgap_vis.synthetic.options import SyntheticOptions

Points = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Cast:
    """The dancers: `groups` (N,) int64, equal for look-alikes, and `radii` (N,) in pixels."""

    groups: NDArray[np.int64]
    radii: NDArray[np.float64]


def draw_paths(
    cast: Cast, options: SyntheticOptions, num_frames: int, rng: np.random.Generator
) -> Points:
    """Draw the centres of all instances in every frame, (N, T, 2) in pixels.

    Whichever instance is the fastest at a moment moves at the clip's speed, so no centre moves
    farther than `options.max_speed` (times the height) from one frame to the next.
    """
    if num_frames == 1:
        return draw_approach(cast, options, rng)[:, None]
    speed = options.max_speed * options.size[0] * rng.uniform(0.8, 1.0)
    length = speed * (num_frames - 1)
    dance = draw_dance(cast, options, length + speed, rng)
    steps = np.linalg.norm(np.diff(dance, axis=0), axis=2).max(axis=1)
    travelled = np.concatenate([[0.0], steps.cumsum()])  # by the fastest of each moment, pixels
    asked = speed * (rng.uniform(0, 0.5) + np.arange(num_frames))
    moments = np.interp(asked, travelled, np.arange(len(dance)))
    before = np.minimum(moments.astype(np.int64), len(dance) - 2)
    share = (moments - before)[:, None, None]
    paths = dance[before] + share * (dance[before + 1] - dance[before])
    return paths.transpose(1, 0, 2)  # (T, N, 2) -> (N, T, 2)


def draw_approach(cast: Cast, options: SyntheticOptions, rng: np.random.Generator) -> Points:
    """Draw points (N, 2) in the frame, some way from well apart towards meeting in pairs."""
    start = scatter(len(cast.radii), options.size, rng)
    met, _ = draw_meeting(start, cast, options, rng)
    return start + rng.uniform(0, 0.8) * (met - start)


def draw_dance(
    cast: Cast, options: SyntheticOptions, length: float, rng: np.random.Generator
) -> Points:
    """Draw a dance (M, N, 2), at M fine moments, in which some instance travels `length` pixels or
    more. It has at least two meetings.
    """
    start = scatter(len(cast.radii), options.size, rng)
    knots = [with_some_outside(start, cast, options, rng)]
    times = [0.0]
    while times[-1] < length or len(knots) < 5:
        for knot in draw_meeting(knots[-1], cast, options, rng):
            longest = float(np.linalg.norm(knot - knots[-1], axis=1).max())
            times.append(times[-1] + max(longest, 1.0))
            knots.append(knot)
    moments = np.linspace(0, times[-1], 64 * len(times))
    return CubicSpline(times, np.stack(knots))(moments)


def scatter(num: int, size: tuple[int, int], rng: np.random.Generator) -> Points:
    """Draw points (num, 2) within the frame that lie well apart: each the best of some tries."""
    tries = rng.uniform(0.1, 0.9, (num, 12, 2)) * (size[1], size[0])
    points = tries[:1, 0]
    for candidates in tries[1:]:
        gaps = np.linalg.norm(candidates[:, None] - points, axis=2).min(axis=1)
        points = np.concatenate([points, candidates[gaps.argmax()][None]])
    return points


def draw_meeting(
    start: Points, cast: Cast, options: SyntheticOptions, rng: np.random.Generator
) -> tuple[Points, Points]:
    """Draw the next two knots, (N, 2) each: pairs meet, then all are apart again."""
    frame = np.array([options.size[1], options.size[0]], np.float64)
    parted = start + rng.uniform(-0.4, 0.4, start.shape) * frame[1]
    met = 0.5 * (start + parted) + rng.normal(0, 0.05, start.shape) * frame[1]
    pairs = draw_pairs(cast.groups, rng)
    for pair, spot in zip(pairs, scatter(len(pairs), options.size, rng), strict=True):
        between = start[pair].mean(axis=0)
        middle = np.clip(between + 0.3 * (spot - between), 0.25 * frame, 0.75 * frame)
        heading = unit(start[pair[1]] - start[pair[0]])  # of the first, towards the second
        radius = cast.radii[pair].mean()
        onward = turned(heading, rng.uniform(-0.7, 0.7)) * radius * rng.uniform(1.8, 2.8)
        if rng.random() < options.pass_share:
            gap = turned(heading, np.pi / 2) * radius * rng.uniform(-0.15, 0.15)
        else:
            gap, onward = -heading * radius * rng.uniform(0.3, 0.6), -onward
        met[pair] = middle + gap, middle - gap
        parted[pair] = middle + onward, middle - onward
    rim = 0.8 * cast.radii[:, None]
    parted = np.clip(parted, rim, frame - rim)
    return met, with_some_outside(parted, cast, options, rng)


def draw_pairs(groups: NDArray[np.int64], rng: np.random.Generator) -> list[list[int]]:
    """Draw disjoint pairs of instances, look-alikes with look-alikes as far as they go."""
    alike: list[list[int]] = []
    rest: list[int] = []
    for group in np.unique(groups):
        members = rng.permutation(np.flatnonzero(groups == group)).tolist()
        alike += [members[start : start + 2] for start in range(0, len(members) - 1, 2)]
        rest += members[len(members) // 2 * 2 :]
    rest = rng.permutation(rest).tolist()
    return alike + [rest[start : start + 2] for start in range(0, len(rest) - 1, 2)]


def with_some_outside(
    points: Points, cast: Cast, options: SyntheticOptions, rng: np.random.Generator
) -> Points:
    """Return points (N, 2), some of them moved beyond the edge of the frame that is nearest."""
    frame = np.array([options.size[1], options.size[0]], np.float64)
    moved = points.copy()
    for index in np.flatnonzero(rng.random(len(points)) < options.leave_share):
        edge = int(np.concatenate([points[index], frame - points[index]]).argmin())
        beyond = 1.5 * cast.radii[index]
        moved[index, edge % 2] = -beyond if edge < 2 else frame[edge % 2] + beyond
    return moved


def unit(vector: Points) -> Points:
    """Return the vector (2,) at length 1; along x where it has none."""
    length = np.linalg.norm(vector)
    return vector / length if length > 0 else np.array([1.0, 0.0])


def turned(vector: Points, angle_rad: float) -> Points:
    """Return the vector (2,) turned from x towards y."""
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    return np.array([cos * vector[0] - sin * vector[1], sin * vector[0] + cos * vector[1]])
