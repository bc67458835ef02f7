"""Video copy & paste: what the paste covers and what it leaves (paper eqs. 1 and 2)."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from augment.chains import far_from_edges
from augment.clips import ALWAYS, SEEDS, assert_whole, clips, discs, generator, images, make_image
from hypothesis import given
from hypothesis import strategies as st
from tolerances import SHRUNK_EDGE, TURNED_EDGE

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

PER = st.sampled_from(["video", "image"])


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
        rows = (result["ids"] == instance).nonzero()[:, 0].tolist()
        assert len(rows) == expected.any()
        for row in rows:
            assert torch.equal(result["masks"][row], expected)
            assert result["labels"][row] == clip["labels"][index]
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
        inside = mask & far_from_edges(mask, 3)
        assert (clip["video"][:, colour][inside] == 250).all()
        assert (clip["video"][:, 2][inside] == 0).all()
        assert (mask & ~inside).any()
    assert labels == {5, 9}


def test_the_rim_is_not_darkened() -> None:
    """On a background of its own colour: on black, the rim would become darker."""
    image = make_image(1, 80, 80)
    image["image"] = torch.full_like(image["image"], 200)
    image["masks"] = torch.zeros(1, 80, 80, dtype=torch.bool)
    image["masks"][:, 20:50, 30:60] = True
    for seed in range(20):
        clip = ClipCompose([PseudoClip(3, 0), VideoCopyPaste(**ALWAYS)])(image, generator(seed))
        assert (clip["video"] == 200).all()
        assert len(clip["ids"]) == 2


def test_the_pivot_is_cut_from_the_still_not_from_turned_frames() -> None:
    """At pose zero the pasted disc is the still's to the pixel, though the frame is rotated."""
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


@pytest.mark.parametrize("scale", [0.1, 0.2, 0.5, 2.0])
def test_a_paste_is_the_same_by_torch_alone_at_any_scale(scale: float) -> None:
    """Black on white: what is averaged into the rim is visible."""
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
