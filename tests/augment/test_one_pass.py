"""One warp for many transforms: the same clip as one after the other, on any device, any number."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from augment.clips import assert_whole, generator, make_clip, moved_masks
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import TURNED_EDGE, TWICE_INTERPOLATED
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

from vidgap_augment import (
    ClipCompose,
    ClipCrop,
    ClipFixedCrop,
    ClipFlip,
    ClipResize,
    ClipScaleJitter,
    PseudoClip,
    Sample,
    SlowRotation,
    VideoCopyPaste,
)
from vidgap_augment.render import Rendered, render
from vidgap_augment.render.device import render_on_device
from vidgap_augment.rotation import Rotation
from vidgap_augment.sample import open_sample

SEEDS = st.integers(0, 2**63)

CHAINS = {
    "rotate, flip": [SlowRotation(), ClipFlip(1.0)],
    "rotate, jitter, crop": [
        SlowRotation(),
        ClipScaleJitter((90, 90), (0.5, 2.0)),
        ClipFixedCrop((80, 80)),
    ],
    "slide, resize, rotate": [
        ClipCrop((40, 60), sliding=True, probability=1.0),
        ClipResize((48, 64)),
        ClipFlip(0.5),
        SlowRotation(40.0),
    ],
    "resize, crop, resize": [
        ClipResize((50, 120)),
        ClipCrop((30, 45), probability=1.0),
        ClipResize((40, 80)),
    ],
    "rotate twice": [SlowRotation(80.0), ClipCrop((30, 50), probability=1.0), SlowRotation(30.0)],
}


def smooth_clip(num_instances: int, num_frames: int, height: int, width: int, seed: int) -> Sample:
    """Return a clip without fine detail, which any interpolation must keep."""
    clip = make_clip(num_instances, num_frames, height, width, seed)
    blurred = F.gaussian_blur(clip["video"], [31, 31], [8.0, 8.0]).float()
    stretched = (blurred - 127) * 6 + 127
    video = F.gaussian_blur(stretched.clamp(0, 255), [9, 9], [3.0, 3.0]).to(torch.uint8)
    thick = F.gaussian_blur(clip["masks"].flatten(0, 1).float()[:, None], [31, 31], [6.0] * 2)
    masks = thick[:, 0].reshape(clip["masks"].shape) > thick.median()
    return clip | {"video": tv_tensors.Video(video), "masks": tv_tensors.Mask(masks)}


def by_hand(members: list[Any], sample: Sample, seed: int) -> Sample:
    g = generator(seed)
    for member in members:
        sample = member(sample, g)
    return sample


def far_from_edges(mask: Tensor, reach: int) -> Tensor:
    """Return where all of (…, H, W) bool within `reach` pixels is the same; outside is False."""
    planes = mask.flatten(0, -3)[:, None].float()
    wide = torch.nn.functional.pad(planes, (reach,) * 4)
    size = 2 * reach + 1
    high = torch.nn.functional.max_pool2d(wide, size, 1)
    low = -torch.nn.functional.max_pool2d(-wide, size, 1)
    return (high == low)[:, 0].reshape(mask.shape)


@settings(max_examples=25)
@given(st.sampled_from(sorted(CHAINS)), st.integers(1, 4), SEEDS)
def test_one_pass_gives_what_one_after_the_other_gives(chain: str, length: int, seed: int) -> None:
    clip = smooth_clip(3, length, 70, 90, seed % 1000)
    members: list[Any] = CHAINS[chain]
    once, many = ClipCompose(members)(clip, generator(seed)), by_hand(members, clip, seed)
    assert_whole(once)
    assert once["video"].shape == many["video"].shape
    # What is black or grey because it lies outside has a hard edge; look away from it.
    shown = ClipCompose(members)(ones_like(clip), generator(seed))["masks"]
    inside = far_from_edges(shown[0], 3) & shown[0]
    difference = (once["video"].float() - many["video"].float()).abs()
    assert inside.float().mean() > 0.02
    assert difference.movedim(1, 0)[:, inside].max() <= TWICE_INTERPOLATED
    for index, instance in enumerate(many["ids"].tolist()):
        other = many["masks"][index]
        places = (once["ids"] == instance).nonzero()[:, 0]
        mask = once["masks"][places].any(dim=0) if len(places) else torch.zeros_like(other)
        clear = far_from_edges(other, 4) & far_from_edges(mask, 4)
        assert not ((mask != other) & clear).any()


def ones_like(clip: Sample) -> Sample:
    return clip | {
        "masks": torch.ones_like(clip["masks"][:1]),
        "labels": clip["labels"][:1],
        "ids": clip["ids"][:1],
    }


def test_a_frame_is_warped_once_and_its_masks_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    warp = cv2.warpAffine

    def counted(*arguments: Any, **options: Any) -> Any:
        calls.append(options["flags"])
        return warp(*arguments, **options)

    monkeypatch.setattr(cv2, "warpAffine", counted)
    sample = {
        "image": make_clip(20, 1, 60, 80)["video"][0],
        "masks": make_clip(20, 1, 60, 80)["masks"][:, 0],
        "labels": torch.arange(20),
    }
    pipeline = ClipCompose(
        [PseudoClip(3), ClipFlip(1.0), ClipScaleJitter((64, 64), (1, 2)), ClipFixedCrop((64, 64))]
    )
    assert_whole(pipeline(sample, generator()))
    assert calls.count(cv2.INTER_LINEAR) == 3
    assert calls.count(cv2.INTER_NEAREST) == 3


def test_what_a_crop_cuts_off_does_not_turn_back_in() -> None:
    """One matrix would show the picture beyond the crop; one after the other shows black there."""
    clip = make_clip(1, 1, 60, 60)
    clip["video"] = torch.full_like(clip["video"], 200)
    clip["masks"] = torch.ones_like(clip["masks"])
    crop, turn = ClipCrop((30, 30), probability=1.0), SlowRotation()
    plan = crop.extend(open_sample(clip).plan, generator(1))
    plan = turn.add(plan, Rotation((30.0,), ((0.5, 0.5),)))
    once = render(plan)
    for corner in ((0, 0), (0, 29), (29, 0), (29, 29)):
        assert once.frames[0, 0][corner] == 0
        assert once.masks is not None
        assert not once.masks[0, 0][corner]
    assert once.frames[0, 0, 15, 15] == 200


@pytest.mark.parametrize("num_instances", [1, 7, 8, 9, 31, 32, 33, 200])
def test_packed_masks_are_what_each_mask_alone_is(num_instances: int) -> None:
    clip = make_clip(num_instances, 2, 30, 40)
    params = SlowRotation().make_params(clip, generator(1))
    together = moved_masks(SlowRotation(), clip["masks"], params)
    alone = [
        moved_masks(SlowRotation(), clip["masks"][n : n + 1], params) for n in range(num_instances)
    ]
    # OpenCV rounds coordinates: on the edge of two pixels it may take either.
    assert (together != torch.cat(alone)).float().mean() < 1e-3


@pytest.mark.parametrize("side", [31, 33, 50, 97, 150])
def test_many_masks_that_tile_an_image_tile_its_clip(side: int) -> None:
    """Two packs of 32 are rounded alike: no pixel is in two masks, and none in no mask."""
    place = torch.arange(96) // 12
    owner = place[:, None] * 8 + place[None]
    sample = {
        "image": torch.zeros(3, 96, 96, dtype=torch.uint8),
        "masks": torch.stack([owner == n for n in range(64)]),
        "labels": torch.arange(64),
    }
    assert (ClipResize((side,), 1000)(sample)["masks"].sum(0) == 1).all()
    turned = PseudoClip(2, 20.0)(sample, generator(side))
    covered = turned["masks"].sum(0)
    one = PseudoClip(2, 20.0)(
        sample | {"masks": torch.ones(1, 96, 96) > 0, "labels": torch.zeros(1).long()},
        generator(side),
    )
    assert torch.equal(covered, one["masks"].sum(0))


def rendered_on_device(
    sample: Sample, pipeline: ClipCompose, seed: int
) -> tuple[Rendered, Rendered]:
    """Return a clip as made on CPU memory, and as made by torch alone."""
    plan = pipeline.extend(open_sample(sample).plan, generator(seed))
    return render(plan), render_on_device(plan)


@settings(max_examples=20)
@given(st.sampled_from(sorted(CHAINS)), st.booleans(), SEEDS)
def test_torch_alone_makes_the_same_clip(chain: str, pasted: bool, seed: int) -> None:
    clip = smooth_clip(3, 2, 50, 70, seed % 1000)
    paste = [VideoCopyPaste(1.0, min_area=1)] if pasted else []
    pipeline = ClipCompose([*CHAINS[chain], *paste])
    ours, theirs = rendered_on_device(clip, pipeline, seed)
    edges = torch.zeros(2, *ours.frames.shape[-2:], dtype=torch.bool)
    for shown in rendered_on_device(ones_like(clip), ClipCompose(CHAINS[chain]), seed):
        assert shown.masks is not None
        edges |= ~far_from_edges(shown.masks, 3).all(dim=0)
    both = [by_row(ours), by_row(theirs)]
    if pasted:  # its rim cuts those behind it
        edges |= near_edges(both[0].get(3)) | near_edges(both[1].get(3))
    for n in set(both[0]) | set(both[1]):
        one, other = (masks.get(n, torch.zeros_like(edges)) for masks in both)
        assert not ((one != other) & ~near_edges(one) & ~edges).any()
    difference = (ours.frames.float() - theirs.frames.float()).abs().amax(dim=1)
    assert (difference[~edges] <= TURNED_EDGE).all()


def by_row(rendered: Rendered) -> dict[int, Tensor]:
    """Return the masks (T, H, W) by their rows in the plan."""
    assert rendered.masks is not None
    return dict(zip(rendered.kept.tolist(), rendered.masks, strict=True))


def near_edges(mask: Tensor | None) -> Tensor:
    """Return where (T, H, W) changes within a pixel; nowhere of no mask."""
    return torch.tensor(False) if mask is None else ~far_from_edges(mask, 1)


@pytest.mark.parametrize("device", ["cuda"])
def test_tensors_on_a_gpu_stay_there(device: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    clip = smooth_clip(3, 3, 50, 70, 0)
    there = clip | {key: clip[key].to(device) for key in ("video", "masks", "labels", "ids")}
    pipeline = ClipCompose([*CHAINS["rotate, flip"], VideoCopyPaste(1.0, min_area=1)])
    ours, theirs = pipeline(clip, generator(1)), pipeline(there, generator(1))
    assert theirs["video"].device.type == device
    assert torch.equal(ours["ids"], theirs["ids"].cpu())
    assert np.mean((ours["masks"] != theirs["masks"].cpu()).numpy()) < 0.01
