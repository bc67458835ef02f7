"""Overlays: fixed colours, masks in their pixels, legible labels."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest

from vidgap_vis.video.overlay import display_scale, draw_tracks, track_colour


def square(size: tuple[int, int], top: int, left: int, side: int = 12) -> np.ndarray:
    mask = np.zeros(size, np.bool_)
    mask[top : top + side, left : left + side] = True
    return mask


def hue(colour: tuple[int, int, int]) -> float:
    return colorsys.rgb_to_hsv(*(channel / 255 for channel in colour))[0]


def test_every_track_has_a_fixed_colour_of_its_own() -> None:
    backwards = [track_colour(track_id) for track_id in range(99, 0, -1)]
    assert backwards[::-1] == [track_colour(track_id) for track_id in range(1, 100)]
    assert backwards[-1] == (38, 101, 255)
    assert len(set(backwards)) == 99


def test_ten_tracks_in_a_row_differ_in_hue() -> None:
    for first in range(1, 60):
        hues = np.sort([hue(track_colour(track_id)) for track_id in range(first, first + 10)])
        gaps = np.diff([*hues, hues[0] + 1])
        assert gaps.min() > 0.04, first


def test_only_masks_contours_and_labels_change_pixels() -> None:
    frame = np.full((80, 120, 3), 100, np.uint8)
    mask = square((80, 120), 30, 50)
    drawn = draw_tracks(frame, mask[None], [1], [""])
    changed = (drawn != frame).any(axis=-1)
    grown = square((80, 120), 28, 48, side=16)
    assert changed[mask].all()
    assert not changed[~grown].any()
    assert (frame == 100).all()
    inner = square((80, 120), 34, 54, side=4)
    wanted = 0.55 * 100 + 0.45 * np.array(track_colour(1))
    assert np.abs(drawn[inner] - wanted).max() <= 1


def test_small_masks_lie_over_large_ones() -> None:
    frame = np.zeros((60, 60, 3), np.uint8)
    small, large = square((60, 60), 25, 25, side=8), square((60, 60), 5, 5, side=50)
    for masks, ids in (([small, large], [1, 2]), ([large, small], [2, 1])):
        drawn = draw_tracks(frame, np.stack(masks), ids, ["", ""], opacity=1.0)
        assert tuple(drawn[29, 29]) == track_colour(1)
        assert tuple(drawn[10, 10]) == track_colour(2)


def test_labels_do_not_cover_each_other() -> None:
    frame = np.full((240, 320, 3), 90, np.uint8)
    masks = np.stack([square((240, 320), 100, 100)] * 4)
    alone = draw_tracks(frame, masks[:1], [1], ["disc 1 0.93"], opacity=0.0)
    together = draw_tracks(frame, masks, [1, 2, 3, 4], ["disc 1 0.93"] * 4, opacity=0.0)
    background = (alone == track_colour(1)).all(axis=-1).sum()
    assert background > 300
    for track_id in (1, 2, 3, 4):
        assert (together == track_colour(track_id)).all(axis=-1).sum() == background


@pytest.mark.parametrize(("top", "left"), [(0, 0), (0, 84), (52, 0), (52, 84)])
def test_labels_stay_inside_the_frame(top: int, left: int) -> None:
    frame = np.zeros((64, 96, 3), np.uint8)
    mask = square((64, 96), top, left)
    plain = draw_tracks(frame, mask[None], [3], [""])
    labelled = draw_tracks(frame, mask[None], [3], ["disc 3"])
    changed = (plain != labelled).any(axis=-1)
    rows, columns = np.nonzero(changed)
    assert 9 <= np.ptp(rows) <= 20  # a whole line of text, not a cut one
    assert np.ptp(columns) > 25


@pytest.mark.parametrize("scale", [1, 3])
def test_scale_enlarges_the_picture(scale: int) -> None:
    frame = np.zeros((20, 30, 3), np.uint8)
    drawn = draw_tracks(frame, square((20, 30), 4, 4)[None], [1], [""], scale=scale)
    assert drawn.shape == (20 * scale, 30 * scale, 3)
    assert tuple(drawn[10 * scale, 10 * scale]) != (0, 0, 0)
    assert tuple(drawn[19 * scale, 29 * scale]) == (0, 0, 0)


def test_no_tracks_and_empty_masks_leave_the_frame_alone() -> None:
    frame = np.full((20, 30, 3), 7, np.uint8)
    assert (draw_tracks(frame, np.zeros((0, 20, 30), np.bool_), [], []) == frame).all()
    assert (draw_tracks(frame, np.zeros((1, 20, 30), np.bool_), [1], ["a"]) == frame).all()


@pytest.mark.parametrize(
    ("size", "wanted", "scale"), [((64, 96), 240, 4), ((240, 320), 240, 1), ((720, 1280), 240, 1)]
)
def test_small_frames_are_enlarged_by_whole_factors(
    size: tuple[int, int], wanted: int, scale: int
) -> None:
    assert display_scale(size, wanted) == scale


def test_masks_ids_and_labels_that_do_not_fit_are_named() -> None:
    frame = np.zeros((20, 30, 3), np.uint8)
    with pytest.raises(
        ValueError, match=r"masks must be \(N, 20, 30\).*got \(1, 20, 31\), 1 and 1"
    ):
        draw_tracks(frame, np.zeros((1, 20, 31), np.bool_), [1], [""])
    with pytest.raises(ValueError, match=r"got \(1, 20, 30\), 2 and 1"):
        draw_tracks(frame, np.zeros((1, 20, 30), np.bool_), [1, 2], [""])
