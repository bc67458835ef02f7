"""The bar that stands before everything: how often, how wide, and what it hides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vidgap_vis.synthetic import SyntheticOptions, clip_scene, image_scene, render

OPTIONS = SyntheticOptions(occluder_share=1.0, num_frames=6)


def test_the_share_is_that_of_the_option_for_stills_and_clips() -> None:
    for draw in (image_scene, clip_scene):
        for share in (0.0, 0.5, 1.0):
            options = replace(OPTIONS, occluder_share=share)
            found = [draw(options, "train", n).occluder is not None for n in range(100)]
            assert abs(np.mean(found) - share) <= (0.15 if share == 0.5 else 0)


def test_what_it_covers_belongs_to_no_mask_and_only_that_is_taken() -> None:
    for index in range(6):
        scene = clip_scene(OPTIONS, "train", index)
        with_bar, without = render(scene), render(replace(scene, occluder=None))
        assert with_bar.hidden.any(axis=(1, 2)).all()
        assert not without.hidden.any()
        np.testing.assert_array_equal(with_bar.footprints, without.footprints)
        np.testing.assert_array_equal(with_bar.masks, without.masks & ~with_bar.hidden)
        same = (with_bar.frames == without.frames).all(axis=3)
        assert same[~with_bar.hidden].mean() > 0.95  # all but the half-covered edge
        assert same[with_bar.hidden].mean() < 0.05


@pytest.mark.parametrize("width", [0.1, 0.4])
def test_its_width_is_within_a_fifth_of_the_option(width: float) -> None:
    for index in range(20):
        occluder = clip_scene(replace(OPTIONS, occluder_width=width), "train", index).occluder
        assert occluder is not None
        assert 0.8 <= occluder.width / (width * OPTIONS.size[0]) <= 1.2


def test_it_stands_still_in_the_scene_while_the_camera_drifts() -> None:
    scene = clip_scene(OPTIONS, "train", 1)
    assert scene.occluder is not None
    upright = replace(scene, occluder=replace(scene.occluder, angle_rad=0.0, x=64.0))
    columns = np.arange(OPTIONS.size[1]) + 0.5
    middles = [(columns * row).sum() / row.sum() for row in render(upright).hidden[:, 0]]
    expected = 64 - np.linspace(*scene.backdrop.drift[:, 0], OPTIONS.num_frames)
    np.testing.assert_allclose(middles, expected, atol=0.51)
