"""The proof that a tracker can be confused here, and that it need not be.

Over the clips with look-alikes, with the exact masks given: association by overlap loses the
identity in crossings; colour histograms do not tell look-alikes apart; the marks, seen upright, do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from vidgap_vis.demo.plan import make_plan
from vidgap_vis.synthetic import Render, Scene, SyntheticOptions, clip_scene, find_crossings, render

OPTIONS = SyntheticOptions(lookalike_share=1.0)
NUM_CLIPS = 80
LEAST_SWITCHED = 0.3
"""Share of the crossings in which one of the two no longer has the number it had before."""


@cache
def clips() -> list[tuple[Scene, Render]]:
    scenes = [clip_scene(OPTIONS, "train", index) for index in range(NUM_CLIPS)]
    return [(scene, render(scene)) for scene in scenes]


def associate_by_overlap(masks: np.ndarray) -> np.ndarray:
    """Give exact masks (N, T, H, W) track numbers (N, T) by their overlap alone; -1 where absent.

    Every track keeps the last mask that it was given, however long ago. In each frame the masks
    go to the tracks with the largest sum of IoU (Hungarian); one that overlaps no track, or whose
    track went to another, starts a new one.
    """
    tracks: list[np.ndarray] = []
    numbers = np.full(masks.shape[:2], -1)
    for t in range(masks.shape[1]):
        present = [n for n in range(len(masks)) if masks[n, t].sum() >= OPTIONS.min_area]
        overlap = np.array(
            [
                [(masks[n, t] & track).sum() / (masks[n, t] | track).sum() for track in tracks]
                for n in present
            ]
        ).reshape(len(present), len(tracks))  # (N', tracks)
        rows, columns = linear_sum_assignment(overlap, maximize=True)
        given = {r: c for r, c in zip(rows, columns, strict=True) if overlap[r, c] > 0}
        for row, n in enumerate(present):
            if row not in given:
                given[row] = len(tracks)
                tracks.append(masks[n, t])
            tracks[given[row]] = masks[n, t]
            numbers[n, t] = given[row]
    return numbers


def test_association_by_overlap_switches_identity_in_the_crossings() -> None:
    outcomes: Counter[str] = Counter()
    for scene, rendered in clips():
        numbers = associate_by_overlap(rendered.masks)
        for crossing in find_crossings(scene, rendered, OPTIONS.min_area):
            pair = [crossing.first, crossing.second]
            before, after = numbers[pair, crossing.before], numbers[pair, crossing.after]
            if (before == after).all():
                outcomes["kept"] += 1
            elif before[0] == after[1] or before[1] == after[0]:
                outcomes["taken over"] += 1  # one carries on the other's track
            else:
                outcomes["lost"] += 1  # a new track, or an older one's
    total = outcomes.total()
    print(f"{total} crossings in {NUM_CLIPS} clips: {dict(outcomes)}")
    assert total >= 2 * NUM_CLIPS
    assert 1 - outcomes["kept"] / total >= LEAST_SWITCHED
    assert outcomes["taken over"] / total >= 0.25


def test_the_clips_that_the_demo_tracks_confuse_as_well() -> None:
    options = make_plan().data(seed=1)
    outcomes = []
    for index in range(options.num_valid_clips):
        scene = clip_scene(options, "valid", index)
        rendered = render(scene)
        numbers = associate_by_overlap(rendered.masks)
        for crossing in find_crossings(scene, rendered, options.min_area):
            pair = [crossing.first, crossing.second]
            outcomes.append((numbers[pair, crossing.before] != numbers[pair, crossing.after]).any())
    print(f"{np.mean(outcomes):.2f} of {len(outcomes)} crossings switched")
    assert len(outcomes) >= 30
    assert np.mean(outcomes) >= LEAST_SWITCHED


def rgb_histogram(colours: np.ndarray) -> np.ndarray:
    """Return the joint histogram of pixels (P, 3) uint8, 8 bins a channel, (512,)."""
    bins = (colours // 32).astype(np.int64) @ np.array([64, 8, 1])
    return np.bincount(bins, minlength=512) / len(colours)


def hsv_histogram(colours: np.ndarray) -> np.ndarray:
    """Return the joint histogram of hue (30 bins), saturation and value (4 each), (480,)."""
    hsv = cv2.cvtColor(colours[None], cv2.COLOR_RGB2HSV)[0].astype(np.int64)
    bins = (hsv // [6, 64, 64]) @ np.array([16, 4, 1])
    return np.bincount(bins, minlength=480) / len(colours)


def skill(
    clip_list: list[tuple[Scene, Render]],
    describe: Callable[[Scene, Render, int, int], np.ndarray],
    same_group: bool,
) -> float:
    """Return how well a description names an instance half a clip later: 0 is chance, 1 is always.

    Asked for every instance at t and u, at least half a clip apart, that is whole at both: which
    of the instances whole at u has the description nearest (L1) to that at t? Two or more must be
    there to choose from: its look-alikes with `same_group`, else one of every group. With A the
    share of right answers and C the mean of 1 / (number to choose from): (A - C) / (1 - C).
    """
    right, chance = [], []
    for scene, rendered in clip_list:
        groups = np.array([instance.role.group for instance in scene.instances])
        whole = rendered.footprints.sum((2, 3))
        full = (rendered.masks.sum((2, 3)) > 0.9 * whole) & (whole > 100)
        found = {(n, t): describe(scene, rendered, n, t) for n, t in np.argwhere(full)}
        for (n, t), wanted in found.items():
            for u in range(rendered.masks.shape[1]):
                if abs(u - t) < rendered.masks.shape[1] // 2 or not full[n, u]:
                    continue
                others = (groups == groups[n]) if same_group else (groups != groups[n])
                others[n] = True
                choice = np.flatnonzero(full[:, u] & others)
                if len(choice) > 1:
                    gaps = [np.abs(found[other, u] - wanted).sum() for other in choice]
                    right.append(choice[np.argmin(gaps)] == n)
                    chance.append(1 / len(choice))
    assert len(right) > 500
    return float((np.mean(right) - np.mean(chance)) / (1 - np.mean(chance)))


@pytest.mark.parametrize("histogram", [rgb_histogram, hsv_histogram])
def test_colour_histograms_do_not_tell_look_alikes_apart(
    histogram: Callable[[np.ndarray], np.ndarray],
) -> None:
    def describe(_: Scene, rendered: Render, n: int, t: int) -> np.ndarray:
        return histogram(rendered.frames[t][rendered.masks[n, t]])

    among_lookalikes = skill(clips(), describe, same_group=True)
    among_others = skill(clips(), describe, same_group=False)
    print(f"{histogram.__name__}: look-alikes {among_lookalikes:.3f}, others {among_others:.3f}")
    assert among_lookalikes < 0.25
    assert among_others > 0.7  # the same histograms are good at what they can do


def test_the_marks_seen_upright_tell_look_alikes_apart() -> None:
    def describe(scene: Scene, rendered: Render, n: int, t: int) -> np.ndarray:
        """Return the middle of the instance, turned upright and with even light, (S, S)."""
        pose = scene.instances[n].poses[t]
        axis = np.linspace(-0.75, 0.75, 25) * pose.radius
        first, second = np.meshgrid(axis * pose.aspect, axis / pose.aspect)
        cos, sin = np.cos(pose.angle_rad), np.sin(pose.angle_rad)
        upright = cv2.remap(
            rendered.frames[t],
            (pose.x + cos * first - sin * second - 0.5).astype(np.float32),
            (pose.y + sin * first + cos * second - 0.5).astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        ).astype(np.float32)
        grey = upright.mean(axis=2)
        even = grey - cv2.GaussianBlur(grey, (0, 0), 5)
        return even / np.abs(even).mean()

    among_lookalikes = skill(clips(), describe, same_group=True)
    print(f"upright marks: look-alikes {among_lookalikes:.3f}")
    assert among_lookalikes > 0.8
