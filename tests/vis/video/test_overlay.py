"""Overlays: fixed colours, masks in their pixels, legible labels."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
import pytest

from bench.augment.inputs import blobs, smooth_noise
from bench.drawing import whole_masks
from vidgap_vis.formats.rle import Rle
from vidgap_vis.video.overlay import display_scale, draw_tracks, track_colour


def rles(*masks: np.ndarray) -> list[Rle]:
    return [Rle.encode(mask) for mask in masks]


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
    drawn = draw_tracks(frame, rles(mask), [1], [""])
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
        drawn = draw_tracks(frame, rles(*masks), ids, ["", ""], opacity=1.0)
        assert tuple(drawn[29, 29]) == track_colour(1)
        assert tuple(drawn[10, 10]) == track_colour(2)


def test_labels_do_not_cover_each_other() -> None:
    frame = np.full((240, 320, 3), 90, np.uint8)
    masks = rles(*[square((240, 320), 100, 100)] * 4)
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
    plain = draw_tracks(frame, rles(mask), [3], [""])
    labelled = draw_tracks(frame, rles(mask), [3], ["disc 3"])
    changed = (plain != labelled).any(axis=-1)
    rows, columns = np.nonzero(changed)
    assert 9 <= np.ptp(rows) <= 20  # a whole line of text, not a cut one
    assert np.ptp(columns) > 25


@pytest.mark.parametrize("scale", [1, 3])
def test_scale_enlarges_the_picture(scale: int) -> None:
    frame = np.zeros((20, 30, 3), np.uint8)
    drawn = draw_tracks(frame, rles(square((20, 30), 4, 4)), [1], [""], scale=scale)
    assert drawn.shape == (20 * scale, 30 * scale, 3)
    assert tuple(drawn[10 * scale, 10 * scale]) != (0, 0, 0)
    assert tuple(drawn[19 * scale, 29 * scale]) == (0, 0, 0)


def test_no_tracks_and_empty_masks_leave_the_frame_alone() -> None:
    frame = np.full((20, 30, 3), 7, np.uint8)
    assert (draw_tracks(frame, [], [], []) == frame).all()
    assert (draw_tracks(frame, rles(np.zeros((20, 30), np.bool_)), [1], ["a"]) == frame).all()


@pytest.mark.parametrize(
    ("size", "wanted", "scale"), [((64, 96), 240, 4), ((240, 320), 240, 1), ((720, 1280), 240, 1)]
)
def test_small_frames_are_enlarged_by_whole_factors(
    size: tuple[int, int], wanted: int, scale: int
) -> None:
    assert display_scale(size, wanted) == scale


def test_masks_ids_and_labels_that_do_not_fit_are_named() -> None:
    frame = np.zeros((20, 30, 3), np.uint8)
    fitting, other = rles(np.zeros((20, 30), np.bool_), np.zeros((20, 31), np.bool_))
    with pytest.raises(ValueError, match=r"must have the frame's size \(20, 30\), got \(20, 31\)"):
        draw_tracks(frame, [fitting, other], [1, 2], ["", ""])
    with pytest.raises(ValueError, match=r"captions must be of one length, got 1, 2 and 1"):
        draw_tracks(frame, [fitting], [1, 2], [""])
    with pytest.raises(ValueError, match="RLE counts must sum to 20x30 = 600, got 0"):
        draw_tracks(frame, [Rle((20, 30), "0")], [1], [""])


def crowd(size: tuple[int, int], num: int, seed: int) -> list[np.ndarray]:
    """Blobs, some cut by the edges, one of specks and holes, a pixel in a corner, and nothing."""
    rng = np.random.default_rng(seed)
    masks = [blob.mask(size, seed).astype(np.bool_) for blob in blobs(num, size, rng)]
    specks, corner = np.zeros(size, np.bool_), np.zeros(size, np.bool_)
    specks[size[0] // 3 :, : size[1] // 2] = (
        rng.random((size[0] - size[0] // 3, size[1] // 2)) < 0.6
    )
    corner[-1, -1] = True
    return [*masks, specks, corner, np.zeros(size, np.bool_)]


def drawn_both_ways(
    size: tuple[int, int], masks: Sequence[np.ndarray], scale: int, opacity: float
) -> tuple[np.ndarray, np.ndarray]:
    frame = smooth_noise(size, np.random.default_rng(1))
    ids = range(1, len(masks) + 1)
    captions = [f"person {number} 0.{number}" for number in ids]
    given = (frame, rles(*masks), list(ids), captions)
    now, before = (
        draw(*given, scale=scale, opacity=opacity)
        for draw in (draw_tracks, whole_masks.draw_tracks)
    )
    return now, before


@pytest.mark.parametrize("backend", ["", "reference"])
@pytest.mark.parametrize("scale", [1, 2, 3, 4, 5, 8])
def test_pictures_are_those_of_masks_of_the_whole_frame(
    scale: int, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDGAP_BACKEND", backend)
    for seed, (size, num) in enumerate([((61, 90), 4), ((128, 75), 9), ((1, 7), 1), ((1, 1), 0)]):
        for opacity in (0.45, 0.3, 1.0):
            now, before = drawn_both_ways(size, crowd(size, num, seed), scale, opacity)
            np.testing.assert_array_equal(now, before, err_msg=f"{size} {opacity}")


def test_frames_need_not_be_contiguous() -> None:
    frame = smooth_noise((40, 60), np.random.default_rng(0))
    mask = square((40, 60), 10, 20)
    wanted = draw_tracks(frame[::-1].copy(), rles(mask), [2], ["disc 2"])
    np.testing.assert_array_equal(draw_tracks(frame[::-1], rles(mask), [2], ["disc 2"]), wanted)
