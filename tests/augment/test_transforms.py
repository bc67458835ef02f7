"""Flip, resize and crops: one decision a clip, on frames and masks alike."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from augment.clips import (
    SEEDS,
    assert_same,
    assert_whole,
    clips,
    generator,
    make_clip,
    make_image,
    moved_masks,
)
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from vidgap_augment import (
    ClipCompose,
    ClipCrop,
    ClipFixedCrop,
    ClipFlip,
    ClipResize,
    ClipScaleJitter,
    ClipTransform,
    PseudoClip,
    Sample,
    SlowRotation,
    drop_empty,
)

TRANSFORMS: list[ClipTransform[Any] | ClipCompose] = [
    SlowRotation(),
    ClipFlip(0.5),
    ClipScaleJitter((17, 13), (0.1, 2.0)),
    ClipFixedCrop((11, 16), pad_value=0),
    ClipResize((5, 9, 14), max_size=18),
    ClipCrop((3, 10), sliding=False, probability=0.8),
    ClipCrop((3, 10), sliding=True, probability=0.8),
    ClipCompose([ClipFlip(), ClipScaleJitter((17, 13)), ClipFixedCrop((11, 16), 0)], 0.9),
]

each_transform = pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda t: type(t).__name__)


@each_transform
@given(clip=clips(), seed=SEEDS)
def test_clip_stays_whole_and_the_given_one_untouched(
    transform: ClipTransform[Any], clip: Sample, seed: int
) -> None:
    clip = drop_empty(clip)
    before = {key: value.clone() for key, value in clip.items()}
    result = transform(clip, generator(seed))
    assert_whole(result)
    assert len(result["video"]) == len(clip["video"])
    order = {id_: row for row, id_ in enumerate(clip["ids"].tolist())}
    rows = [order[id_] for id_ in result["ids"].tolist()]
    assert rows == sorted(rows)
    assert torch.equal(result["labels"], clip["labels"][rows])
    for key, value in before.items():
        assert torch.equal(value, clip[key]), key


@each_transform
@given(clip=clips(), seed=SEEDS)
def test_masks_go_where_the_pixels_go(
    transform: ClipTransform[Any], clip: Sample, seed: int
) -> None:
    """Where a frame shows pure mask or pure background, the mask must agree."""
    clip = drop_empty(clip)
    if len(clip["ids"]) == 0:
        return
    clip["video"] = (clip["masks"][0] * 255).to(torch.uint8)[:, None].expand(-1, 3, -1, -1)
    result = transform(clip, generator(seed))
    kept = (result["ids"] == clip["ids"][0]).nonzero()
    grey = result["video"][:, 0]
    mask = result["masks"][kept[0, 0]] if len(kept) else torch.zeros_like(grey) > 0
    assert mask[grey == 255].all()
    assert not mask[grey == 0].any()


@each_transform
@given(num_instances=st.integers(0, 3), seed=SEEDS)
def test_equal_frames_stay_equal_unless_the_camera_moves(
    transform: ClipTransform[Any], num_instances: int, seed: int
) -> None:
    if isinstance(transform, SlowRotation) or getattr(transform, "sliding", False):
        return
    clip = PseudoClip(4, 0)(make_image(num_instances), generator())
    result = transform(clip, generator(seed))
    assert (result["video"] == result["video"][:1]).all()
    assert (result["masks"] == result["masks"][:, :1]).all()


def test_flip_mirrors_columns_of_frames_and_masks() -> None:
    clip = make_clip()
    flipped = ClipFlip(1.0)(clip)
    assert torch.equal(flipped["video"], clip["video"].flip(-1))
    assert torch.equal(flipped["masks"], clip["masks"].flip(-1))
    assert_same(ClipFlip(0.0)(clip), drop_empty(clip))


def test_flip_happens_as_often_as_asked() -> None:
    g, clip = generator(), make_clip()
    assert 160 < sum(ClipFlip(0.5).make_params(clip, g) for _ in range(400)) < 240
    assert 70 < sum(ClipFlip(0.25).make_params(clip, g) for _ in range(400)) < 130


@pytest.mark.parametrize(
    ("size", "short_edge", "max_size", "expected"),
    [
        ((480, 640), 320, 768, (320, 427)),
        ((640, 480), 320, 768, (427, 320)),
        ((300, 900), 480, 768, (256, 768)),
        ((480, 640), 640, 768, (576, 768)),
        ((1, 1000), 320, 768, (2, 768)),
    ],
    ids=str,
)
def test_shortest_edge_is_met_unless_the_longest_would_pass_its_limit(
    size: tuple[int, int], short_edge: int, max_size: int, expected: tuple[int, int]
) -> None:
    clip = {"video": torch.zeros(2, 3, *size, dtype=torch.uint8)}
    assert ClipResize((short_edge,), max_size).make_params(clip) == expected


def test_every_short_edge_is_drawn() -> None:
    g, clip = generator(), make_clip(height=40, width=50)
    transform = ClipResize((10, 20, 30), max_size=100)
    assert {transform.make_params(clip, g)[0] for _ in range(60)} == {10, 20, 30}


@given(st.integers(1, 300), st.integers(1, 300), SEEDS)
def test_scale_jitter_fits_the_box_and_keeps_the_aspect(h: int, w: int, seed: int) -> None:
    transform = ClipScaleJitter((64, 96), (0.5, 2.0))
    clip = {"video": torch.zeros(1, 3, h, w, dtype=torch.uint8)}
    height, width = transform.make_params(clip, generator(seed))
    scale = max(height / 64, width / 96)
    assert 0.48 <= scale <= 2.02
    assert 2 in (height, width) or abs(height * w - width * h) <= 0.5 * (w + h)


def test_masks_are_resized_at_pixel_centres() -> None:
    masks = torch.arange(12).reshape(1, 1, 3, 4) % 3 == 0
    clip = {
        "video": torch.zeros(1, 3, 3, 4, dtype=torch.uint8),
        "masks": masks,
        "labels": torch.zeros(1, dtype=torch.int64),
        "ids": torch.zeros(1, dtype=torch.int64),
    }
    doubled = ClipResize((6,))(clip)
    assert torch.equal(doubled["masks"], masks.repeat_interleave(2, 2).repeat_interleave(2, 3))
    tripled = ClipResize((9,))(clip)
    back = ClipResize((3,))(tripled)
    assert torch.equal(back["masks"], masks)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(2, 9), st.integers(2, 9), SEEDS)
def test_frames_are_resized_as_in_float(h: int, w: int, height: int, width: int, seed: int) -> None:
    clip = make_clip(0, 2, h, w, seed)
    resized = ClipResize().with_params(clip, (height, width))["video"]
    expected = functional.interpolate(
        clip["video"].float(), (height, width), mode="bilinear", antialias=True
    )
    # Two passes, rows and columns, and each rounds to whole grey levels.
    assert (resized.float() - expected).abs().max() < 1.1


@given(st.integers(1, 30), st.integers(2, 60))
def test_a_mask_pixel_is_the_one_at_its_centre(side: int, length: int) -> None:
    """Along a row of alternating pixels, the source of pixel i is at (i + 1/2) * side / length."""
    row = torch.arange(side) % 2 == 1
    clip = make_clip(1, 1, 2, side) | {"masks": row.expand(1, 1, 2, side)}
    resized = moved_masks(ClipResize(), clip["masks"], (2, length))[0, 0, 0]
    for i, pixel in enumerate(resized.tolist()):
        source, rest = divmod((2 * i + 1) * side, 2 * length)
        assert rest == 0 or pixel == row[source]  # on the edge of two pixels either will do


def test_frames_that_shrink_are_antialiased() -> None:
    """A one-pixel checkerboard shrinks to its mean grey, not to black or white."""
    board = (torch.arange(64)[:, None] + torch.arange(64)) % 2 * 255
    clip = make_clip(0, 2, 64, 64)
    clip["video"] = board.to(torch.uint8).expand(2, 3, -1, -1)
    small = ClipResize((16,))(clip)["video"]
    assert ((small.int() - 127).abs() <= 8).all()


@given(st.integers(1, 40), st.integers(1, 40), SEEDS)
def test_fixed_crop_cuts_what_is_long_and_pads_what_is_short(h: int, w: int, seed: int) -> None:
    clip = make_clip(2, 2, h, w)
    transform = ClipFixedCrop((20, 24))
    windows = transform.make_params(clip, generator(seed))
    result = transform.with_params(clip, windows)
    (top, left), height, width = windows.offsets[0], min(h, 20), min(w, 24)
    source = clip["video"][..., top : top + height, left : left + width]
    assert result["video"].shape == (2, 3, 20, 24)
    assert torch.equal(result["video"][..., :height, :width], source)
    assert (result["video"][..., height:, :] == 128).all()
    assert (result["video"][..., :, width:] == 128).all()
    assert not result["masks"][..., height:, :].any()
    assert not result["masks"][..., :, width:].any()


def test_fixed_crop_draws_a_number_for_each_axis() -> None:
    g, clip = generator(), make_clip(height=30, width=30)
    offsets = [ClipFixedCrop((10, 10)).make_params(clip, g).offsets[0] for _ in range(300)]
    correlation = torch.corrcoef(torch.tensor(offsets, dtype=torch.float64).T)[0, 1]
    assert abs(correlation) < 0.2
    for axis in (0, 1):
        assert {offset[axis] for offset in offsets} == set(range(21))


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 5), st.booleans(), SEEDS)
def test_crop_window_lies_in_the_frame_and_moves_one_way(
    h: int, w: int, num_frames: int, sliding: bool, seed: int
) -> None:
    clip = make_clip(1, num_frames, h, w)
    windows = ClipCrop((4, 9), sliding, 1.0).make_params(clip, generator(seed))
    assert windows is not None
    assert len(windows.offsets) == num_frames
    for axis, side in enumerate((h, w)):
        length = windows.size[axis]
        starts = [offset[axis] for offset in windows.offsets]
        assert min(4, side) <= length <= min(9, side)
        assert min(starts) >= 0
        assert max(starts) + length <= side
        assert starts in (sorted(starts), sorted(starts, reverse=True))
        assert sliding or len(set(starts)) == 1


def test_sliding_crop_shows_each_frame_at_its_offset() -> None:
    clip = PseudoClip(4, 0)(make_image(2, 40, 50), generator())
    transform = ClipCrop((10, 12), sliding=True, probability=1.0)
    windows = transform.make_params(clip, generator(1))
    assert windows is not None
    assert len(set(windows.offsets)) == 4
    result = transform.with_params(clip, windows)
    height, width = windows.size
    for time, (top, left) in enumerate(windows.offsets):
        expected = clip["video"][0, :, top : top + height, left : left + width]
        assert torch.equal(result["video"][time], expected)


def test_sliding_crop_goes_in_all_four_diagonal_directions() -> None:
    g, clip = generator(), make_clip(0, 2, 60, 60)
    transform = ClipCrop((5, 8), sliding=True, probability=1.0)
    directions = set()
    for _ in range(100):
        (y0, x0), (y1, x1) = transform.make_params(clip, g).offsets  # type: ignore[union-attr]
        directions.add((y1 > y0, x1 > x0))
    assert len(directions) == 4


def test_crop_happens_as_often_as_asked() -> None:
    g, clip = generator(), make_clip()
    done = sum(ClipCrop((3, 5)).make_params(clip, g) is not None for _ in range(400))
    assert 160 < done < 240
    assert_same(ClipCrop((3, 5), probability=0.0)(clip), drop_empty(clip))
