"""Video auto augmentation: what is drawn, and that all frames are changed alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from augment.clips import SEEDS, assert_same, assert_whole, clips, generator, make_clip, make_image
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from vidgap_augment import (
    ClipCompose,
    ClipFlip,
    PseudoClip,
    Sample,
    VideoAutoAugment,
    VideoCopyPaste,
)
from vidgap_augment.auto_augment import POOL, Augmentation, Op

PHOTOMETRIC = tuple(name for name in POOL if name != "rotation")


def augmentation(*ops: Op) -> Augmentation:
    return Augmentation((ops,), None)


@given(clips(), SEEDS, st.sampled_from(["video", "image"]))
def test_clip_stays_whole_and_masks_stay_without_rotation(
    clip: Sample, seed: int, per: Any
) -> None:
    result = VideoAutoAugment(pool=PHOTOMETRIC, per=per)(clip, generator(seed))
    assert_whole(result)
    assert result["video"].shape == clip["video"].shape
    for index, instance in enumerate(result["ids"].tolist()):
        assert torch.equal(result["masks"][index], clip["masks"][clip["ids"] == instance][0])


@given(clips(), SEEDS)
def test_clip_stays_whole_with_rotation(clip: Sample, seed: int) -> None:
    assert_whole(VideoAutoAugment(per="video")(clip, generator(seed)))
    assert_whole(VideoAutoAugment(per="image")(clip, generator(seed)))


@pytest.mark.parametrize("name", [name for name in PHOTOMETRIC if name != "identity"])
def test_equal_frames_stay_equal(name: Any) -> None:
    image = make_image(2, 30, 40)
    levels = torch.tensor([1, 1, 3], dtype=torch.uint8).view(3, 1, 1)
    image["image"] = image["image"] // (3 * levels) + 60  # dim, unlike channels
    pipeline = ClipCompose([PseudoClip(4, max_rotation_deg=0), VideoAutoAugment(1, 1, pool=[name])])
    videos = [pipeline(image, generator(seed))["video"] for seed in range(5)]
    assert all((video == video[:1]).all() for video in videos)
    assert any((video[0] != image["image"]).any() for video in videos)


def test_what_is_measured_is_measured_before_black_turns_in() -> None:
    """Equalize measures the still, not rotated frames with black corners."""
    image = make_image(1, 40, 40)
    image["image"] = image["image"] // 2 + 100  # no black in it
    turn = PseudoClip(3, 45.0)
    ours = ClipCompose([turn, VideoAutoAugment(1, 1, pool=["equalize"])])(image, generator(1))
    still = VideoAutoAugment(1, 1, pool=["equalize"])(image, generator(2))
    expected = turn(still, generator(1))
    assert_same(ours, expected)
    # Measured on the turned frames it would be something else.
    plain = turn(image, generator(1))
    assert (VideoAutoAugment(1, 1, pool=["equalize"])(plain)["video"] != ours["video"]).any()


ORACLES: list[tuple[Op, Callable[[Image.Image], Image.Image]]] = [
    (Op("identity"), lambda picture: picture),
    (Op("autocontrast"), ImageOps.autocontrast),
    (Op("equalize"), ImageOps.equalize),
    (Op("posterize", 5), lambda picture: ImageOps.posterize(picture, 5)),
    (Op("solarize", 77), lambda picture: ImageOps.solarize(picture, 77)),
    (Op("brightness", 0.3), lambda picture: ImageEnhance.Brightness(picture).enhance(0.3)),
    (Op("contrast", 0.3), lambda picture: ImageEnhance.Contrast(picture).enhance(0.3)),
]


@pytest.mark.parametrize(("op", "oracle"), ORACLES, ids=lambda value: getattr(value, "name", ""))
def test_frames_of_a_real_clip_are_changed_as_one_tall_picture(
    op: Op, oracle: Callable[[Image.Image], Image.Image]
) -> None:
    clip = make_clip(1, 3, 20, 30)
    dim = torch.tensor([1, 2, 4], dtype=torch.uint8).view(3, 1, 1, 1)
    clip["video"] = clip["video"] // dim  # unlike frames
    ours = VideoAutoAugment().with_params(clip, augmentation(op))["video"]
    tall = Image.fromarray(as_rows(clip["video"]))
    assert np.array_equal(as_rows(ours), np.asarray(oracle(tall)))


def as_rows(video: Tensor) -> Any:
    """Return (T, 3, H, W) as a picture (T*H, W, 3)."""
    return torch.Tensor.numpy(video.as_subclass(Tensor)).transpose(0, 2, 3, 1).reshape(-1, 30, 3)


def test_ops_run_in_the_order_drawn() -> None:
    clip = make_clip()
    first, second = Op("brightness", 0.5), Op("solarize", 100)
    transform = VideoAutoAugment()
    one = transform.with_params(clip, augmentation(first, second))["video"]
    by_hand = transform.with_params(
        transform.with_params(clip, augmentation(first)), augmentation(second)
    )
    other = transform.with_params(clip, augmentation(second, first))["video"]
    assert torch.equal(one, by_hand["video"])
    assert (one != other).any()


def test_numbers_of_ops_and_their_names_are_uniform_with_replacement() -> None:
    g, clip, transform = generator(), make_clip(0), VideoAutoAugment(3)
    drawn = [transform.make_params(clip, g).ops[0] for _ in range(3000)]
    lengths = Counter(map(len, drawn))
    names = Counter(op.name for ops in drawn for op in ops)
    assert set(lengths) == {1, 2, 3}
    assert all(abs(count - 1000) < 120 for count in lengths.values())
    assert set(names) == set(POOL)
    assert all(abs(count - 500) < 100 for count in names.values())
    repeated = sum(len({op.name for op in ops}) < len(ops) for ops in drawn)
    assert repeated > 200


STRENGTHS = {
    "gaussian_blur": (0.1, 2.0),
    "contrast": (0.05, 0.95),
    "sharpness": (0.05, 0.95),
    "color": (0.05, 0.95),
    "brightness": (0.05, 0.95),
    "hue": (-0.5, 0.5),
    "posterize": (4, 7),
    "solarize": (1, 255),
}


@pytest.mark.parametrize("name", STRENGTHS)
def test_strengths_fill_augseg_s_ranges(name: Any) -> None:
    g, clip, transform = generator(), make_clip(0), VideoAutoAugment(1, 1, pool=[name])
    drawn = [transform.make_params(clip, g).ops[0][0].strength for _ in range(600)]
    low, high = STRENGTHS[name]
    assert low <= min(drawn) <= low + 0.02 * (high - low)
    assert high - 0.02 * (high - low) <= max(drawn) <= high
    if name in ("posterize", "solarize"):
        assert all(strength == int(strength) for strength in drawn)


def test_bounds_of_the_number_of_ops_are_met() -> None:
    g, clip = generator(), make_clip(0)
    drawn = [len(VideoAutoAugment(2, 0).make_params(clip, g).ops[0]) for _ in range(100)]
    assert set(drawn) == {0, 1, 2}


def test_parameters_of_a_seed_are_frozen() -> None:
    """They never change: published runs rest on them."""
    transform = VideoAutoAugment(2, 2)
    assert transform.make_params(make_clip(), generator(2026)) == FROZEN


FROZEN = augmentation(Op("color", 0.1867682146693781), Op("posterize", 4))


def test_rotation_of_the_pool_turns_slowly_or_each_frame_apart() -> None:
    clip = make_clip(0, 5)
    slow = VideoAutoAugment(1, 1, pool=["rotation"]).make_params(clip, generator(1)).rotation
    assert slow is not None
    angles = list(slow.angles_deg)
    assert angles in (sorted(angles), sorted(angles, reverse=True))
    assert max(map(abs, angles)) <= 15
    apart = [
        VideoAutoAugment(1, 1, pool=["rotation"], per="image").make_params(clip, generator(seed))
        for seed in range(20)
    ]
    lists = [list(params.rotation.angles_deg) for params in apart if params.rotation]
    assert any(a not in (sorted(a), sorted(a, reverse=True)) for a in lists)


def test_rotation_drawn_twice_turns_once() -> None:
    transform = VideoAutoAugment(3, 3, pool=["rotation"])
    for seed in range(50):
        rotation = transform.make_params(make_clip(0), generator(seed)).rotation
        assert rotation is not None
        assert max(map(abs, rotation.angles_deg)) <= 15


def test_where_the_clip_turns_already_rotation_changes_nothing() -> None:
    clip = make_clip()
    still = VideoAutoAugment(1, 1, pool=["rotation"], max_rotation_deg=0)(clip, generator(1))
    assert torch.equal(still["video"], clip["video"])


def test_per_image_draws_for_each_frame_apart() -> None:
    clip = PseudoClip(6, max_rotation_deg=0)(make_image(1, 30, 30), generator())
    transform = VideoAutoAugment(pool=PHOTOMETRIC, per="image")
    params = transform.make_params(clip, generator(3))
    assert len(params.ops) == 6
    assert len(set(params.ops)) == 6
    video = transform(clip, generator(3))["video"]
    assert len({frame.numpy().tobytes() for frame in torch.Tensor.unbind(video)}) > 3
    for time, ops in enumerate(params.ops):
        frame = clip | {"video": clip["video"][time : time + 1], "masks": clip["masks"][:, :1]}
        alone = VideoAutoAugment().with_params(frame, augmentation(*ops))["video"]
        assert torch.equal(video[time], alone[0])


def test_after_a_paste_the_pasted_frames_are_changed() -> None:
    """By hand or in one list: levels are measured on the pasted frames."""
    image = make_image(2, 40, 50)
    before = [PseudoClip(3), VideoCopyPaste(1.0, min_area=1)]
    after = [VideoAutoAugment(1, 1, pool=["equalize"]), ClipFlip(1.0)]
    together = ClipCompose([*before, *after])(image, generator(1))
    g = generator(1)
    apart = ClipCompose(after)(ClipCompose(before)(image, g), g)
    assert_same(together, apart)
