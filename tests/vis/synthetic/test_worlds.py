"""Worlds stay as they are."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import numpy as np
import pytest

from vidgap_vis.synthetic import WORLDS, SyntheticOptions, clip_scene, image_scene, render, world
from vidgap_vis.synthetic.worlds import AMOUNTS

FIRST: dict[str, tuple[str, list[int], float]] = {
    "easy_1": ("42002a2da5f918d7", [9521, 8008, 15925], 92.76),
    "hard_1": ("9c32a1b4e4e4c628", [17671, 16028, 9815, 24284], 115.51),
}
"""Of each world: the options' hash; pixels of the first test clip's instances; its mean grey."""


def test_a_worlds_options_are_frozen() -> None:
    """A world that is to differ gets a new name; these lines never change."""
    for name, options in WORLDS.items():
        shown = {key: value for key, value in vars(options).items() if key not in AMOUNTS}
        text = json.dumps(shown, sort_keys=True)
        assert sha256(text.encode()).hexdigest()[:16] == FIRST[name][0], (name, text)


def test_what_a_world_shows_is_frozen() -> None:
    """Nearly: other processors may round a pixel otherwise."""
    for name, (_, areas, grey) in FIRST.items():
        rendered = render(clip_scene(world(name, seed=1), "test", 0))
        np.testing.assert_allclose(rendered.masks.sum(axis=(1, 2, 3)), areas, atol=5)
        assert rendered.frames.mean() == pytest.approx(grey, abs=0.05)


def visible_shares(options: SyntheticOptions) -> np.ndarray:
    shares = []
    for index in range(24):
        rendered = render(clip_scene(options, "valid", index))
        masks, whole = (part.sum(axis=(2, 3)) for part in (rendered.masks, rendered.footprints))
        present = masks >= options.min_area
        shares.append(masks[present] / whole[present])
    return np.concatenate(shares)


def test_the_hard_world_hides_more_than_the_easy_one() -> None:
    hidden = {name: float((visible_shares(world(name)) < 0.5).mean()) for name in WORLDS}
    assert hidden["easy_1"] < 0.15
    assert hidden["hard_1"] > 0.28


def test_stills_and_clips_of_a_world_share_classes_and_look() -> None:
    options = world("hard_1")
    stills = [image_scene(options, "train", index) for index in range(60)]
    clips = [clip_scene(options, "train", index) for index in range(60)]
    looks = [
        {(one.role.shape, one.look.pattern) for scene in scenes for one in scene.instances}
        for scenes in (stills, clips)
    ]
    assert looks[0] == looks[1]
    radii = [
        np.mean([one.role.radius for scene in scenes for one in scene.instances])
        for scenes in (stills, clips)
    ]
    assert radii[0] == pytest.approx(radii[1], rel=0.1)


@pytest.mark.parametrize(
    ("name", "amounts", "wanted"),
    [
        ("hard_2", {}, "world must be one of easy_1, hard_1, got hard_2"),
        ("hard_1", {"max_speed": 0.1}, "amounts must be of seed, .*, got max_speed"),
        ("hard_1", {"num_test_clips": -1}, "num_test_clips must be 0 or more"),
    ],
)
def test_what_is_wrong_is_said(name: str, amounts: dict[str, Any], wanted: str) -> None:
    with pytest.raises(ValueError, match=wanted):
        world(name, **amounts)
