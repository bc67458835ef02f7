"""The pseudo-clip: how frames are rotated, and their masks with them."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from augment.clips import (
    SEEDS,
    assert_whole,
    clips,
    generator,
    images,
    make_clip,
    make_image,
    moved_masks,
)
from hypothesis import given
from hypothesis import strategies as st
from torchvision import tv_tensors
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from vidgap_augment import PseudoClip, Sample, SlowRotation
from vidgap_augment.rotation import Rotation


def blob(height: int, width: int) -> torch.Tensor:
    """Return an (H, W) bool ellipse with a hole, off the centre."""
    y = (torch.arange(height) + 0.5) / height - 0.4
    x = (torch.arange(width) + 0.5) / width - 0.45
    radius = (y[:, None] ** 2 * 1.5 + x[None] ** 2).sqrt()
    return (radius < 0.4) & (radius > 0.1)


@given(clips(), SEEDS)
def test_rotated_clip_is_whole(clip: Sample, seed: int) -> None:
    rotated = SlowRotation()(clip, generator(seed))
    assert_whole(rotated)
    assert rotated["video"].shape == clip["video"].shape
    assert set(rotated["ids"].tolist()) <= set(clip["ids"].tolist())


@given(images(), st.integers(1, 5), SEEDS)
def test_pseudo_clip_is_whole_and_ids_count_the_instances(
    image: Sample, num_frames: int, seed: int
) -> None:
    clip = PseudoClip(num_frames)(image, generator(seed))
    assert_whole(clip)
    assert "image" not in clip
    assert clip["video"].shape == (num_frames, *image["image"].shape)
    assert torch.equal(clip["labels"], image["labels"][clip["ids"]])


def test_ids_of_the_others_stay_when_an_instance_is_dropped() -> None:
    image = make_image(num_instances=3)
    image["masks"][1] = False
    assert PseudoClip()(image, generator())["ids"].tolist() == [0, 2]


@given(images(), st.integers(1, 4), SEEDS)
def test_no_rotation_gives_the_image_to_the_bit(image: Sample, num_frames: int, seed: int) -> None:
    clip = PseudoClip(num_frames, max_rotation_deg=0)(image, generator(seed))
    for frame in clip["video"]:
        assert torch.equal(frame, image["image"])
    for time in range(num_frames):
        assert torch.equal(clip["masks"][:, time], image["masks"][clip["ids"]])


@given(st.integers(1, 12), st.floats(0, 180), SEEDS)
def test_angles_are_monotone_and_in_range(num_frames: int, largest: float, seed: int) -> None:
    angles = SlowRotation(largest).draw_frames(num_frames, generator(seed)).angles_deg
    assert len(angles) == num_frames
    assert list(angles) in (sorted(angles), sorted(angles, reverse=True))
    assert all(-largest <= angle <= largest for angle in angles)


def test_both_directions_and_the_whole_range_occur() -> None:
    g = generator()
    drawn = [SlowRotation().draw_frames(3, g) for _ in range(400)]
    rising = sum(rotation.angles_deg[0] < rotation.angles_deg[-1] for rotation in drawn)
    angles = torch.tensor([rotation.angles_deg for rotation in drawn])
    centers = torch.tensor([rotation.centers[0] for rotation in drawn])
    assert 160 < rising < 240
    assert -15 <= angles.min() < -14
    assert 14 < angles.max() <= 15
    assert (centers >= 0.4).all()
    assert (centers <= 0.6).all()
    assert (centers.amin(0) < 0.41).all()
    assert (centers.amax(0) > 0.59).all()
    assert (centers[:, 0] != centers[:, 1]).all()


@given(st.integers(8, 60), st.integers(8, 60), st.integers(1, 9), SEEDS)
def test_masks_turn_with_the_frames(height: int, width: int, copies: int, seed: int) -> None:
    """The image is the mask in grey, so both must agree away from the blurred border."""
    mask = blob(height, width)
    sample = {
        "image": (mask * 255).to(torch.uint8).expand(3, -1, -1),
        "masks": mask.expand(copies, -1, -1),
        "labels": torch.zeros(copies, dtype=torch.int64),
    }
    clip = PseudoClip(3, max_rotation_deg=60)(sample, generator(seed))
    grey = clip["video"][:, 0]
    for masks in clip["masks"]:
        # A pixel's nearest source pixel weighs at least a quarter in its bilinear value.
        assert masks[grey > 0.78 * 255].all()
        assert not masks[grey < 0.22 * 255].any()


@given(st.integers(2, 25), st.integers(2, 25), SEEDS)
def test_a_mask_pixel_is_its_nearest_source_pixel(height: int, width: int, seed: int) -> None:
    mask = make_image(1, height, width, seed % 1000)["masks"].clone()
    params = SlowRotation(180).draw_frames(1, generator(seed))
    turned = moved_masks(SlowRotation(), mask[:, None], params)[0, 0]
    angle, (center_x, center_y) = math.radians(params.angles_deg[0]), params.centers[0]
    for y, x in itertools.product(range(height), range(width)):
        right, down = x + 0.5 - center_x * width, y + 0.5 - center_y * height
        source_x = right * math.cos(angle) - down * math.sin(angle) + center_x * width
        source_y = right * math.sin(angle) + down * math.cos(angle) + center_y * height
        if min(abs(source_x - round(source_x)), abs(source_y - round(source_y))) < 0.01:
            continue  # on the edge of two pixels either will do
        inside = 0 <= source_x < width and 0 <= source_y < height
        expected = inside and bool(mask[0, math.floor(source_y), math.floor(source_x)])
        assert bool(turned[y, x]) == expected


@given(st.sampled_from([90, 180, -90]), st.integers(1, 20), st.integers(0, 5))
def test_quarter_turns_about_the_middle_move_whole_pixels(
    angle_deg: int, side: int, num_instances: int
) -> None:
    clip = make_clip(num_instances, num_frames=2, height=side, width=side)
    turned = SlowRotation().with_params(clip, Rotation((0.0, angle_deg), ((0.5, 0.5),) * 2))
    expected = torch.rot90(clip["video"][1], angle_deg // 90, dims=(-2, -1))
    assert torch.equal(turned["video"][0], clip["video"][0])
    assert torch.equal(turned["video"][1], expected)
    kept = [clip["ids"].tolist().index(id_) for id_ in turned["ids"].tolist()]
    masks = torch.rot90(clip["masks"][kept, 1], angle_deg // 90, dims=(-2, -1))
    assert torch.equal(turned["masks"][:, 1], masks)


@pytest.mark.parametrize("angle_deg", [-15.0, 0.3, 7.0, 77.0])
@pytest.mark.parametrize("center", [(0.5, 0.5), (0.4, 0.58)], ids=str)
def test_frames_agree_with_torchvision(angle_deg: float, center: tuple[float, float]) -> None:
    height, width = 40, 61
    clip = make_clip(0, 1, height, width)
    # A smooth picture: both interpolate in float, but OpenCV rounds weights on some versions.
    clip["video"] = F.gaussian_blur(clip["video"], [9, 9], [2.0, 2.0])
    ours = SlowRotation().with_params(clip, Rotation((angle_deg,), (center,)))["video"]
    theirs = F.rotate(
        clip["video"],
        angle_deg,
        InterpolationMode.BILINEAR,
        center=[center[0] * width, center[1] * height],
    )
    # torchvision drops the black border's share from the outermost pixels; look inside.
    inside = F.rotate(
        torch.ones(1, 1, height, width), angle_deg, InterpolationMode.BILINEAR,
        center=[center[0] * width, center[1] * height],
    )[0, 0] == 1  # fmt: skip
    assert inside.float().mean() > 0.3
    assert (ours.int() - theirs.int()).abs()[..., inside].max() <= 1


@pytest.mark.parametrize("angle_deg", [-15.0, 3.3, 15.0])
def test_frames_agree_with_pillow_away_from_the_border(angle_deg: float) -> None:
    clip = make_clip(0, 1, 60, 81)
    clip["video"] = F.gaussian_blur(clip["video"], [9, 9], [2.0, 2.0])
    ours = SlowRotation().with_params(clip, Rotation((angle_deg,), ((0.45, 0.58),)))["video"][0]

    def pillow(frame: torch.Tensor) -> torch.Tensor:
        center = [0.45 * 81, 0.58 * 60]
        turned = F.rotate(
            F.to_pil_image(frame), angle_deg, InterpolationMode.BILINEAR, center=center
        )
        return F.pil_to_tensor(turned)

    shown = pillow(torch.full((3, 60, 81), 255, dtype=torch.uint8))[:1].float()
    wide = torch.nn.functional.pad(255 - shown, (2,) * 4, value=255)
    inside = torch.nn.functional.max_pool2d(wide, 5, 1)[0] == 0
    assert inside.float().mean() > 0.5
    assert (ours.int() - pillow(clip["video"][0]).int()).abs()[:, inside].max() <= 1


def test_what_turns_in_from_outside_is_black_and_no_mask() -> None:
    sample = {
        "image": torch.full((3, 30, 40), 255, dtype=torch.uint8),
        "masks": torch.ones(1, 30, 40, dtype=torch.bool),
        "labels": torch.zeros(1, dtype=torch.int64),
    }
    rotation = Rotation((45.0,), ((0.5, 0.5),))
    clip = PseudoClip(1).with_params(sample, rotation)
    corners = ([0, 0, 29, 29], [0, 39, 0, 39])
    assert (clip["video"][0, :, corners[0], corners[1]] == 0).all()
    assert not clip["masks"][0, 0][corners].any()
    covered = clip["masks"].float().mean().item()
    # Each corner loses a right triangle: its height is what reaches past the turned side.
    reach = (15 + 20) / math.sqrt(2)
    expected = 1 - 2 * ((reach - 20) ** 2 + (reach - 15) ** 2) / (30 * 40)
    assert math.isclose(covered, expected, abs_tol=0.02)


def test_one_pixel_turns_to_where_its_centre_goes() -> None:
    masks = torch.zeros(1, 21, 21, dtype=torch.bool)
    masks[0, 10, 20] = True
    image = torch.zeros(3, 21, 21, dtype=torch.uint8)
    sample = {"image": image, "masks": masks, "labels": torch.tensor([7])}
    clip = PseudoClip(2).with_params(sample, Rotation((0.0, 30.0), ((0.5, 0.5),) * 2))
    # 10 right of the middle goes to 10 cos 30° = 8.66 right and 10 sin 30° = 5 up.
    assert clip["boxes"].tolist() == [[20, 10, 21, 11], [19, 5, 20, 6]]


def test_frames_and_masks_that_are_not_contiguous_turn_alike() -> None:
    clip = make_clip(height=16, width=16)
    views = clip | {
        "video": clip["video"].flip(0).transpose(2, 3).contiguous().transpose(2, 3).flip(0),
        "masks": tv_tensors.Mask(clip["masks"].movedim(0, 3).contiguous().movedim(3, 0)),
    }
    assert not views["masks"].is_contiguous()
    a, b = (SlowRotation()(sample, generator(5)) for sample in (clip, views))
    assert torch.equal(a["video"], b["video"])
    assert torch.equal(a["masks"], b["masks"])


def test_frames_of_a_pseudo_clip_do_not_share_memory() -> None:
    image = make_image()
    clip = PseudoClip(3, max_rotation_deg=0)(image, generator())
    before = image["image"].clone()
    clip["video"][0].zero_()
    clip["masks"][:, 0] = False
    assert torch.equal(clip["video"][1], before)
    assert torch.equal(image["image"], before)
    assert clip["masks"][:, 1].any()


@pytest.mark.parametrize("num_frames", [0, -1, 2.0])
def test_number_of_frames_is_a_positive_integer(num_frames: int) -> None:
    with pytest.raises(ValueError, match=f"num_frames must be an integer .*, got {num_frames}"):
        PseudoClip(num_frames)


@pytest.mark.parametrize("angle", [-1.0, 181.0, math.nan])
def test_largest_angle_is_checked(angle: float) -> None:
    with pytest.raises(ValueError, match=r"max_rotation_deg must be within \[0.0, 180.0\], got"):
        SlowRotation(angle)


@pytest.mark.parametrize("center_range", [(0.6, 0.4), (0.4, 1.1), (0.5,)], ids=str)
def test_range_of_the_centre_is_checked(center_range: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"center_range must be \(smallest, largest\) within"):
        PseudoClip(center_range=center_range)
