"""Lists of transforms in any order: always whole, always aligned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from augment.clips import SEEDS, assert_same, assert_whole, generator, make_clip, make_image
from hypothesis import given, settings
from hypothesis import strategies as st

from vidgap_augment import (
    ClipCompose,
    ClipCrop,
    ClipFixedCrop,
    ClipFlip,
    ClipResize,
    ClipScaleJitter,
    PseudoClip,
    SanitizeInstances,
    SlowRotation,
    VideoAutoAugment,
    VideoCopyPaste,
)
from vidgap_augment.crop import Windows
from vidgap_augment.render import render
from vidgap_augment.sample import open_sample

MEMBERS: dict[str, Callable[[], Any]] = {
    "flip": ClipFlip,
    "rotate": lambda: SlowRotation(180.0),
    "rotate per image": lambda: SlowRotation(per="image"),
    "resize": lambda: ClipResize((5, 20, 40), 60),
    "jitter": lambda: ClipScaleJitter((20, 30), (0.05, 4.0)),
    "fixed crop": lambda: ClipFixedCrop((16, 24)),
    "crop": lambda: ClipCrop((4, 20), probability=0.7),
    "slide": lambda: ClipCrop((4, 20), sliding=True, probability=0.7),
    "colours": VideoAutoAugment,
    "colours per image": lambda: VideoAutoAugment(per="image"),
    "paste": lambda: VideoCopyPaste(0.7, min_area=1),
    "paste per image": lambda: VideoCopyPaste(0.7, min_area=1, per="image"),
    "sanitize": lambda: SanitizeInstances(3, 2),
    "nested": lambda: ClipCompose([ClipFlip(), VideoCopyPaste(min_area=1)], probability=0.5),
}

NAMES = st.lists(st.sampled_from(sorted(MEMBERS)), max_size=6)


@settings(max_examples=150)
@given(NAMES, st.integers(0, 4), st.integers(1, 4), st.integers(1, 40), st.integers(1, 40), SEEDS)
def test_any_list_makes_whole_clips_of_clips(
    names: list[str], n: int, length: int, h: int, w: int, seed: int
) -> None:
    clip = make_clip(n, length, h, w, seed % 1000)
    before = {key: value.clone() for key, value in clip.items()}
    result = ClipCompose([MEMBERS[name]() for name in names])(clip, generator(seed))
    assert_whole(result)
    ids = result["ids"].tolist()
    assert len(set(ids)) == len(ids)
    labels = dict(zip(clip["ids"].tolist(), clip["labels"].tolist(), strict=True))
    for instance, label in zip(ids, result["labels"].tolist(), strict=True):
        assert label == labels.get(instance, label)
    for key in before:
        assert torch.equal(clip[key], before[key]), "the input was written to"
        result[key].zero_()
        assert torch.equal(clip[key], before[key]), "the result shares memory with the input"


@settings(max_examples=80)
@given(NAMES, NAMES, st.integers(0, 3), st.integers(1, 30), st.integers(1, 30), SEEDS)
def test_a_pseudo_clip_may_stand_anywhere(
    before: list[str], after: list[str], n: int, h: int, w: int, seed: int
) -> None:
    lists = [[MEMBERS[name]() for name in names] for names in (before, after)]
    pipeline = ClipCompose([*lists[0], PseudoClip(3), *lists[1]])
    clip = pipeline(make_image(n, h, w, seed % 1000), generator(seed))
    assert_whole(clip)
    assert len(clip["video"]) == 3


WHOLE_PIXELS = [ClipFlip(1.0), ClipFixedCrop((60, 60)), ClipFixedCrop((20, 30)), ClipResize((20,))]


@pytest.mark.parametrize("transform", WHOLE_PIXELS, ids=str)
def test_what_stands_before_a_pseudo_clip_counts(transform: Any) -> None:
    image = make_image(3, 40, 50)
    together = ClipCompose([transform, PseudoClip(2, 0.0)])(image, generator(3))
    g = generator(3)
    assert_same(together, PseudoClip(2, 0.0)(transform(image, g), g))


def test_a_paste_on_an_image_is_in_every_frame_of_its_clip() -> None:
    image = make_image(2, 40, 50)
    clip = ClipCompose([VideoCopyPaste(1.0, min_area=1), PseudoClip(3, 0.0)])(image, generator(1))
    assert clip["ids"].tolist() == [0, 1, 2]
    assert torch.equal(clip["masks"][2, 0], clip["masks"][2, 2])


def test_ids_of_an_image_are_kept() -> None:
    image = make_image(3) | {"ids": torch.tensor([7, 9, 8])}
    assert PseudoClip(2, 0.0)(image)["ids"].tolist() == [7, 9, 8]


@pytest.mark.parametrize("probability", [0.0, 0.5])
@pytest.mark.parametrize("wrapped", [False, True])
def test_what_may_not_happen_gives_whole_clips_too(probability: float, wrapped: bool) -> None:
    clip = make_clip(3)
    clip["masks"][1] = False
    for seed in range(8):
        transform: Any = VideoCopyPaste(probability, min_area=1)
        transform = ClipCompose([transform]) if wrapped else transform
        assert_whole(transform(clip, generator(seed)))
    assert_whole(ClipCompose([ClipFlip()], probability)(clip, generator()))


def test_a_paste_never_takes_an_id_that_was_in_the_sample() -> None:
    """Instance 8 is cropped away and dropped before the paste."""
    clip = make_clip(2, 2, 40, 40) | {"ids": torch.tensor([7, 8])}
    clip["masks"] = torch.zeros_like(clip["masks"])
    clip["masks"][0, :, 2:15, 2:15] = clip["masks"][1, :, 30:39, 30:39] = True
    crop = ClipCrop((20, 20), probability=1.0)
    plan = crop.add(open_sample(clip).plan, Windows((20, 20), ((0, 0), (0, 0))))
    rest = ClipCompose([SanitizeInstances(), VideoCopyPaste(1.0, min_area=1)])
    pasted = render(rest.extend(plan, generator(1)))
    assert rest.extend(plan, generator(1)).ids.tolist() == [7, 9]  # type: ignore[union-attr]
    assert len(pasted.kept) == 2
