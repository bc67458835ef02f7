"""Video copy & paste: what the paste covers, what it leaves, how it moves (paper eqs. 1 and 2)."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from augment.clips import assert_whole, clips, generator, images, make_clip, make_image
from hypothesis import given
from hypothesis import strategies as st
from tolerances import SHRUNK_EDGE, TURNED_EDGE
from torch import Tensor

from vidgap_augment import (
    ClipCompose,
    ClipFixedCrop,
    ClipFlip,
    ClipScaleJitter,
    PseudoClip,
    Sample,
    VideoCopyPaste,
)
from vidgap_augment.copy_paste import Copy, Pose, pose_matrix
from vidgap_augment.geometry import mean_scale, move_points
from vidgap_augment.render import render
from vidgap_augment.render.device import render_on_device
from vidgap_augment.sample import open_sample

SEEDS = st.integers(0, 2**63)
ALWAYS: dict[str, Any] = {"probability": 1.0, "min_area": 1}
PER = st.sampled_from(["video", "image"])


def discs(num_frames: int = 1, size: int = 100) -> Sample:
    """Return an image of two discs apart: 0 in red of label 5, 1 in green of label 9."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    masks = torch.stack(
        [(x - 30) ** 2 + (y - 30) ** 2 < 15**2, (x - 70) ** 2 + (y - 70) ** 2 < 9**2]
    )
    image = torch.full((3, size, size), 90, dtype=torch.uint8)
    for channel in range(2):
        image[:, masks[channel]] = 0
        image[channel, masks[channel]] = 250
    sample = {"image": image, "masks": masks, "labels": torch.tensor([5, 9])}
    return sample if num_frames == 1 else PseudoClip(num_frames, 0)(sample)


def without_overlap(clip: Sample) -> Sample:
    """Return the clip with masks that do not overlap."""
    masks = clip["masks"].clone()
    for n in range(1, len(masks)):
        masks[n] &= ~masks[:n].any(dim=0)
    return clip | {"masks": masks}


@given(clips(), SEEDS, PER)
def test_properties_of_eq_1_and_eq_2(clip: Sample, seed: int, per: Any) -> None:
    clip = without_overlap(clip)
    result = VideoCopyPaste(**ALWAYS, per=per)(clip, generator(seed))
    assert_whole(result)
    old = set(clip["ids"].tolist())
    news = [n for n, instance in enumerate(result["ids"].tolist()) if instance not in old]
    pasted = result["masks"][news].any(dim=0)  # (T, H, W)
    # Outside of the paste no pixel of a frame changes.
    untouched = ~pasted[:, None].expand_as(clip["video"])
    assert torch.equal(result["video"][untouched], clip["video"][untouched])
    # No mask overlaps another, and the others lose what is covered and nothing else.
    assert (result["masks"].sum(dim=0) <= 1).all()
    for index, instance in enumerate(clip["ids"].tolist()):
        expected = clip["masks"][index] & ~pasted
        places = (result["ids"] == instance).nonzero()[:, 0].tolist()
        assert len(places) == expected.any()
        for place in places:
            assert torch.equal(result["masks"][place], expected)
            assert result["labels"][place] == clip["labels"][index]
    assert len(news) <= (1 if per == "video" else len(clip["video"]))


@given(images(), st.integers(1, 4), SEEDS, PER)
def test_a_pseudo_clip_with_a_paste_and_jitter_is_whole(
    image: Sample, num_frames: int, seed: int, per: Any
) -> None:
    pipeline = ClipCompose(
        [
            PseudoClip(num_frames),
            VideoCopyPaste(**ALWAYS, per=per),
            ClipFlip(),
            ClipScaleJitter((16, 16), (0.3, 2.0)),
            ClipFixedCrop((14, 18)),
        ]
    )
    clip = pipeline(image, generator(seed))
    assert_whole(clip)
    assert len(set(clip["ids"].tolist())) == len(clip["ids"])


def test_the_paste_is_new_with_the_label_of_its_pivot_and_in_front() -> None:
    labels = set()
    for seed in range(20):
        clip = VideoCopyPaste(**ALWAYS)(discs(3), generator(seed))
        assert clip["ids"][-1] == 2
        label, mask = clip["labels"][-1].item(), clip["masks"][-1]
        colour = {5: 0, 9: 1}[label]
        labels.add(label)
        rim = mask & ~shrunk(mask)
        inside = shrunk(mask)
        assert (clip["video"][:, colour][inside] == 250).all()
        assert (clip["video"][:, 2][inside] == 0).all()
        assert rim.any()
    assert labels == {5, 9}


def shrunk(mask: Tensor) -> Tensor:
    """Return (T, H, W) bool without its outermost three pixels."""
    wide = torch.nn.functional.pad(mask.float(), (3,) * 4)[:, None]
    return -torch.nn.functional.max_pool2d(-wide, 7, 1)[:, 0] == 1


def test_the_rim_is_not_darkened() -> None:
    """An instance on ground of its own colour: cut out black first, its rim would turn grey."""
    image = make_image(1, 80, 80)
    image["image"] = torch.full_like(image["image"], 200)
    image["masks"] = torch.zeros(1, 80, 80, dtype=torch.bool)
    image["masks"][:, 20:50, 30:60] = True
    for seed in range(20):
        clip = ClipCompose([PseudoClip(3, 0), VideoCopyPaste(**ALWAYS)])(image, generator(seed))
        assert (clip["video"] == 200).all()
        assert len(clip["ids"]) == 2


def test_the_pivot_is_cut_from_the_still_not_from_turned_frames() -> None:
    """At pose zero the pasted disc is the still's to the pixel, though the frame is turned."""
    image = discs()
    plan = PseudoClip(2, 60.0).extend(open_sample(image).plan, generator(1))
    pose = Pose(40.5, 60.5, 1.0, 0.0)
    left, top, right, bottom = (15.0 + 1, 15.0 + 1, 45.0, 45.0)  # of disc 0, radius below 15
    middle = ((left + right) / 2, (top + bottom) / 2)
    transform = VideoCopyPaste()
    plan = transform.add(plan, (Copy(0, middle, False, (pose, pose)),))
    made = render(plan)
    assert made.masks is not None
    y, x = (int(pose.y - middle[1] + top), int(pose.x - middle[0] + left))
    for time in range(2):
        window = made.masks[-1, time, y : y + 29, x : x + 29]
        assert torch.equal(window, image["masks"][0, 16:45, 16:45])
        there = made.frames[time, :, y : y + 29, x : x + 29]
        assert torch.equal(there[:, window], image["image"][:, 16:45, 16:45][:, window])


def test_an_instance_that_is_covered_is_absent_there_and_dropped_if_always() -> None:
    clip = discs(3)
    cover = Pose(70.5, 70.5, 1.0, 0.0)
    away = Pose(30.5, 75.5, 1.0, 0.0)
    copy = Copy(0, (30.5, 30.5), False, (cover, away, cover))
    result = VideoCopyPaste().with_params(clip, (copy,))
    assert_whole(result)
    assert result["ids"].tolist() == [0, 1, 2]
    assert result["masks"][1].flatten(1).any(1).tolist() == [False, True, False]
    assert result["boxes"].reshape(3, 3, 4)[1, 0].tolist() == [0, 0, 0, 0]
    always = replace(copy, poses=(cover,) * 3)
    assert VideoCopyPaste().with_params(clip, (always,))["ids"].tolist() == [0, 2]


def test_a_paste_that_leaves_the_frame_is_absent_there() -> None:
    poses = tuple(Pose(x, 50.0, 1.0, 0.0) for x in (50.0, 105.0, 140.0))
    result = VideoCopyPaste().with_params(discs(3), (Copy(0, (30.5, 30.5), False, poses),))
    assert_whole(result)
    areas = result["masks"][-1].flatten(1).sum(1)
    assert areas[0] > areas[1] > areas[2] == 0


def drawn(seed: int, num_frames: int = 6, **settings: Any) -> Copy:
    (copy,) = VideoCopyPaste(**ALWAYS | settings).make_params(discs(num_frames), generator(seed))
    return copy


def poses_of(copy: Copy) -> Any:
    """Return x, y, scale, angle of each frame, (T, 4)."""
    assert all(copy.poses)
    return np.array([(p.x, p.y, p.scale, p.angle_deg) for p in copy.poses if p])


@given(SEEDS, st.integers(1, 12))
def test_the_path_is_smooth_and_within_its_ranges(seed: int, num_frames: int) -> None:
    poses = poses_of(drawn(seed, num_frames))
    start, steps = poses[0], np.diff(poses, axis=0)
    for column in range(4):  # no parameter goes back
        assert (steps[:, column] >= 0).all() or (steps[:, column] <= 0).all()
    assert (np.abs(poses[:, :2] - start[:2]) <= 0.15 * 100 + 1e-9).all()
    assert poses[:, 2].min() >= 0.8 * 0.9
    assert poses[:, 2].max() <= 1.25 * 1.1
    assert ((poses[:, 2] / start[2] >= 0.9 - 1e-9) & (poses[:, 2] / start[2] <= 1.1 + 1e-9)).all()
    assert (np.abs(poses[:, 3]) <= 15).all()
    if num_frames > 2:  # no frame moves much further than an even step, its jitter included
        even = np.abs(poses[-1] - poses[0]) / (num_frames - 1)
        assert (np.abs(steps) <= 2 * even + np.abs(poses[-1] - poses[0]) * 0.51 + 1e-9).all()


def test_without_jitter_steps_are_even() -> None:
    steps = np.diff(poses_of(drawn(3, jitter=0.0)), axis=0)
    assert np.allclose(steps, steps[0])
    jittered = np.diff(poses_of(drawn(3, jitter=0.5)), axis=0)
    assert not np.allclose(jittered, jittered[0], rtol=0.05)


@pytest.mark.parametrize("min_inside", [0.3, 0.5, 0.9, 1.0])
def test_enough_of_the_paste_is_inside_at_its_start(min_inside: float) -> None:
    image = discs()
    full = [int(mask.sum()) for mask in image["masks"]]
    shares = []
    for seed in range(60):
        clip = VideoCopyPaste(**ALWAYS, min_inside=min_inside)(discs(2), generator(seed))
        copy = drawn(seed, 2, min_inside=min_inside)
        assert copy.poses[0] is not None
        scale = copy.poses[0].scale ** 2
        shares.append(int(clip["masks"][-1, 0].sum()) / (full[copy.instance] * scale))
    assert min(shares) >= min_inside - 0.06  # measured at a hundred pixels
    assert min(shares) < min_inside + 0.15
    assert max(shares) > 0.95


def test_everything_that_can_be_drawn_is_drawn() -> None:
    copies = [drawn(seed) for seed in range(300)]
    flips = sum(copy.flip for copy in copies)
    starts = np.array([poses_of(copy)[0] for copy in copies])
    assert 110 < flips < 190
    assert {copy.instance for copy in copies} == {0, 1}
    assert starts[:, :2].min() < 8
    assert starts[:, :2].max() > 92
    assert starts[:, 2].min() < 0.83
    assert starts[:, 2].max() > 1.22


def test_a_clip_gets_a_paste_as_often_as_asked() -> None:
    g, clip = generator(), discs(2)
    transform = VideoCopyPaste(0.25, min_area=1)
    assert 70 < sum(len(transform.make_params(clip, g)) for _ in range(400)) < 130


def test_small_instances_are_no_pivots() -> None:
    copies = [drawn(seed, min_area=400) for seed in range(20)]
    assert {copy.instance for copy in copies} == {0}
    assert VideoCopyPaste(1.0).make_params(discs(2), generator()) == ()  # below 32 x 32
    assert VideoCopyPaste(1.0, min_area=0).make_params(make_clip(0), generator()) == ()


def test_what_is_out_of_sight_is_no_pivot() -> None:
    """Disc 0 is cropped away before the paste."""
    crop = ClipFixedCrop((50, 50))
    plan = open_sample(discs(2)).plan
    windows = crop.draw(plan)
    right_corner = replace(windows, offsets=((50, 50),) * 2)
    plan = crop.add(plan, right_corner)
    transform = VideoCopyPaste(**ALWAYS)
    assert {transform.draw(plan, generator(seed))[0].instance for seed in range(20)} == {1}


def test_a_pivot_is_in_sight_by_its_pixels_not_by_its_box() -> None:
    """The lower right half of a square: the upper left corner of its box shows nothing of it."""
    image = discs()
    image["masks"] = torch.stack([torch.tril(torch.ones(100, 100)).flip(1) > 0, image["masks"][0]])
    crop, pad = ClipFixedCrop((40, 40)), ClipFixedCrop((100, 100))
    plan = PseudoClip(2, 0.0).extend(open_sample(image).plan, generator())
    windows = replace(crop.draw(plan), offsets=((0, 0),) * 2)
    plan = pad.extend(crop.add(plan, windows), generator())
    transform = VideoCopyPaste(**ALWAYS)
    assert {transform.draw(plan, generator(seed))[0].instance for seed in range(30)} == {1}


@pytest.mark.parametrize("scale", [0.1, 0.2, 0.5, 2.0])
def test_a_paste_is_the_same_by_torch_alone_at_any_scale(scale: float) -> None:
    """Black on white: what is averaged into the rim shows."""
    image = discs()
    image["image"] = torch.where(image["masks"][0], 0, 255).to(torch.uint8).expand(3, -1, -1)
    plan = PseudoClip(2, 0.0).extend(open_sample(image).plan, generator())
    copy = Copy(0, (30.5, 30.5), False, (Pose(60.3, 40.7, scale, 10.0),) * 2)
    plan = VideoCopyPaste().add(plan, (copy,))
    ours, theirs = render(plan), render_on_device(plan)
    assert ours.masks is not None
    assert theirs.masks is not None
    both = ours.masks[-1] & theirs.masks[-1]
    assert both.sum() >= 0.9 * ours.masks[-1].sum()
    difference = (ours.frames.int() - theirs.frames.int()).abs().amax(1)
    assert difference[both].max() <= (SHRUNK_EDGE if scale < 1 else TURNED_EDGE)


def test_per_image_pastes_have_no_identity_over_frames() -> None:
    clip = VideoCopyPaste(**ALWAYS, per="image")(discs(4), generator(5))
    assert clip["ids"].tolist() == [0, 1, 2, 3, 4, 5]
    present = clip["masks"].flatten(2).any(2)[2:]
    assert torch.equal(present, torch.eye(4, dtype=torch.bool))
    pivots = {clip["labels"][2 + t].item() for t in range(4)}
    assert pivots == {5, 9}


def test_of_a_real_clip_each_frame_gives_its_own_picture() -> None:
    """The pivot moves and changes colour; the paste shows, frame by frame, what the pivot shows."""
    clip = discs(3)
    clip["video"][:, 0] = torch.where(
        clip["masks"][0], torch.tensor([250, 150, 50]).view(3, 1, 1).to(torch.uint8), 90
    )
    poses = (Pose(40.5, 75.5, 1.0, 0.0),) * 3
    result = VideoCopyPaste().with_params(clip, (Copy(0, (30.5, 30.5), False, poses),))
    assert result["video"][:, 0, 75, 40].tolist() == [250, 150, 50]
    clip["masks"][0, 1] = False  # absent there: then there is nothing to paste
    absent = VideoCopyPaste().with_params(clip, (Copy(0, (30.5, 30.5), False, poses),))
    assert absent["masks"][-1].flatten(1).any(1).tolist() == [True, False, True]


def test_a_flip_mirrors_and_a_canvas_scale_enlarges() -> None:
    copy = Copy(0, (10.0, 20.0), True, ())
    matrix = pose_matrix(copy, Pose(50.0, 60.0, 1.5, 90.0), canvas_scale=2.0)
    assert math.isclose(mean_scale(matrix), 3.0)
    assert np.allclose(move_points(matrix, [(10.0, 20.0)]), [[50.0, 60.0]])
    # To the right of the middle: mirrored to its left, then turned up to below.
    assert np.allclose(move_points(matrix, [(11.0, 20.0)]), [[50.0, 63.0]])


def test_parameters_of_a_seed_are_frozen() -> None:
    """They never change: published runs rest on them."""
    (copy,) = VideoCopyPaste(**ALWAYS).make_params(discs(2), generator(2026))
    assert (copy.instance, copy.flip) == FROZEN[0]
    assert np.allclose(poses_of(copy), FROZEN[1], rtol=1e-12, atol=0)


FROZEN: tuple[Any, Any] = (
    (0, False),
    [
        (12.501378618010527, 69.60818375536921, 0.9674352779883351, 12.532379444046732),
        (14.482820701446213, 69.13034206039934, 0.9786860774561248, -12.45167918938332),
    ],
)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"probability": 1.1}, r"probability must be within \[0.0, 1.0\], got 1.1"),
        ({"scale_range": (2, 1)}, r"scale_range must be \(smallest, largest\) within"),
        ({"scale_change": (0, 1)}, r"scale_change must be \(smallest, largest\) within"),
        ({"max_rotation_deg": -1}, r"max_rotation_deg must be within \[0.0, 180.0\], got -1"),
        ({"max_displacement": -0.1}, r"max_displacement must be within .* got -0.1"),
        ({"flip_probability": 2}, r"flip_probability must be within .* got 2"),
        ({"min_inside": 1.5}, r"min_inside must be within \[0.0, 1.0\], got 1.5"),
        ({"min_area": -1}, r"min_area must be within .* got -1"),
        ({"jitter": 0.6}, r"jitter must be within \[0.0, 0.5\], got 0.6"),
        ({"per": "clip"}, r"per must be 'video' or 'image', got 'clip'"),
    ],
)
def test_bad_argument_is_refused_by_name(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VideoCopyPaste(**arguments)
