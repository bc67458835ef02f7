"""Lists of transforms in any order and any call: always whole, always aligned."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from augment.clips import assert_same, assert_whole, generator, make_clip, make_image
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from vidgap_augment import (
    ClipCompose,
    ClipCrop,
    ClipFixedCrop,
    ClipFlip,
    ClipResize,
    ClipScaleJitter,
    ClipShape,
    FrameTransform,
    GeometricTransform,
    Plan,
    PseudoClip,
    SanitizeInstances,
    SlowRotation,
    Step,
    VideoAutoAugment,
    VideoCopyPaste,
    boxes_from_masks,
)
from vidgap_augment.crop import Windows
from vidgap_augment.render import render
from vidgap_augment.sample import open_sample

SEEDS = st.integers(0, 2**63)

MEMBERS: dict[str, Callable[[], Any]] = {
    "flip": lambda: ClipFlip(),
    "rotate": lambda: SlowRotation(180.0),
    "rotate per image": lambda: SlowRotation(per="image"),
    "resize": lambda: ClipResize((5, 20, 40), 60),
    "jitter": lambda: ClipScaleJitter((20, 30), (0.05, 4.0)),
    "fixed crop": lambda: ClipFixedCrop((16, 24)),
    "crop": lambda: ClipCrop((4, 20), probability=0.7),
    "slide": lambda: ClipCrop((4, 20), sliding=True, probability=0.7),
    "colours": lambda: VideoAutoAugment(),
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


def test_image_and_target_are_one_sample_as_torchvision_calls() -> None:
    image = make_image(2, 40, 50)
    target = {"masks": image["masks"], "labels": image["labels"]}
    pipeline = v2.Compose([v2.RandomHorizontalFlip(1.0), PseudoClip(3), ClipFlip(1.0)])
    torch.manual_seed(4)
    video, new = pipeline(image["image"], target)
    torch.manual_seed(4)
    again, same = pipeline((image["image"], target))
    assert torch.equal(video, again)
    assert_same(new, same)
    seeded = PseudoClip(3)(image["image"], target, generator(1))
    assert_same(seeded[1], PseudoClip(3)((image["image"], target), generator=generator(1))[1])


@pytest.mark.parametrize("transform", [ClipFlip(), ClipCompose([ClipFlip()])], ids=str)
def test_a_generator_that_is_none_is_refused(transform: Any) -> None:
    with pytest.raises(ValueError, match=r"generator must be a torch.Generator or None, got int"):
        transform(make_clip(), 3)
    with pytest.raises(ValueError, match=r"must hold an image or a video, got nothing"):
        transform()


class Given(FrameTransform[None]):
    """Gives what it is told to make of frames and masks."""

    def __init__(self, change: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self._change = change

    def make_params(self, sample: Any, generator: torch.Generator | None = None) -> None:
        """Draw nothing."""

    def transform(self, thing: Any, params: None) -> Any:  # noqa: ARG002
        return self._change(thing)


FRAMES_ONLY = tv_tensors.Video
BAD_CHANGES: list[tuple[Callable[[Any], Any], str]] = [
    (Tensor.float, r"frames from Given.transform must be \(3, 3, H, W\) uint8, got .*float32"),
    (lambda t: t[:, :1], r"frames from Given.transform must be .* uint8, got \(3, 1, 12, 15\)"),
    (
        lambda t: t[..., 5:] if isinstance(t, FRAMES_ONLY) else t,
        r"masks from Given.transform must be \(3, 3, 12, 10\) bool, got \(3, 3, 12, 15\) bool",
    ),
    (type, r"frames from Given.transform must be a tensor .* got _?type|TensorMeta"),
]


@pytest.mark.parametrize(("change", "message"), BAD_CHANGES)
def test_what_a_transform_of_one_s_own_gives_is_checked(
    change: Callable[[Any], Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Given(change)(make_clip())


def test_a_transform_of_one_s_own_may_work_in_place() -> None:
    clip = make_clip()
    before = clip["video"].clone()
    black = Given(lambda t: t.zero_() if isinstance(t, FRAMES_ONLY) else t)
    assert (black(clip)["video"] == 0).all()
    assert torch.equal(clip["video"], before)


def test_boxes_alone_cannot_follow_a_transform_of_one_s_own() -> None:
    clip = {k: v for k, v in make_clip(1, 2).items() if k != "masks"} | {"boxes": torch.zeros(2, 4)}
    with pytest.raises(ValueError, match=r"sample must have masks for Given, got boxes alone"):
        Given(lambda t: t)(clip)


def test_masks_that_are_not_bool_and_pictures_are_told_what_to_do() -> None:
    clip = make_clip()
    with pytest.raises(ValueError, match=r"got .* uint8; masks > 0 makes them bool"):
        ClipFlip()(clip | {"masks": clip["masks"].byte()})
    from PIL import Image

    picture = Image.fromarray(np.zeros((4, 5, 3), np.uint8))
    target = {"masks": torch.zeros(1, 4, 5) > 0, "labels": torch.zeros(1).long()}
    with pytest.raises(ValueError, match=r"tuple of Image, dict; v2.ToImage\(\) makes tensors"):
        PseudoClip()((picture, target))


def test_a_clip_with_labels_needs_ids_however_it_is_given() -> None:
    clip = make_clip()
    target = {key: clip[key] for key in ("masks", "labels")}
    for sample in ((clip["video"], target), {"video": clip["video"], **target}):
        with pytest.raises(ValueError, match=r"must have the key 'ids', got the keys \["):
            ClipFlip()(sample)


def test_numbers_of_numpy_are_numbers() -> None:
    assert PseudoClip(np.int64(3)).num_frames == 3  # type: ignore[arg-type]
    assert ClipFlip(np.float32(0.5)).probability == 0.5  # type: ignore[arg-type]
    assert ClipResize(np.array([4, 5]), 9).short_edges == (4, 5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ClipFlip("a"), r"probability must be within \[0.0, 1.0\], got 'a'"),
        (lambda: ClipFlip(True), r"probability must be within \[0.0, 1.0\], got True"),
        (lambda: ClipCrop(5), r"absolute_range must be 2 integers of at least 1, got 5"),
        (lambda: SlowRotation(None), r"max_rotation_deg must be within .*, got None"),
        (lambda: ClipScaleJitter((8, 8), 3), r"scale_range must be \(smallest, largest\) .* got 3"),
        (lambda: PseudoClip(True), r"num_frames must be an integer of at least 1, got True"),
        (lambda: VideoAutoAugment(pool="hue"), r"pool must be one or more of .*, got 'hue'"),
        (lambda: VideoCopyPaste(scale_range=("a", 1)), r"scale_range must be \(smallest, larg"),
    ],
)
def test_arguments_of_another_kind_are_refused_by_name(
    build: Callable[[], object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        build()


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


@pytest.mark.parametrize("ids", [[5, 5, 1], [2**62, 1, 2]])
def test_ids_that_leave_no_new_one_are_refused(ids: list[int]) -> None:
    message = r"sample\['ids'\] must (differ, got 5 more than once|be below 4611686018427387904)"
    with pytest.raises(ValueError, match=message):
        ClipFlip()(make_clip(3) | {"ids": torch.tensor(ids)})


class Stepping(GeometricTransform[None]):
    """Steps as it is told."""

    def __init__(self, make: Callable[[], Any]) -> None:
        super().__init__()
        self._make = make

    def draw(self, plan: Plan, generator: torch.Generator | None = None) -> None:
        """Draw nothing."""

    def step(self, params: None, shape: ClipShape) -> Any:  # noqa: ARG002
        return self._make()


EYES = np.tile(np.eye(2, 3), (3, 1, 1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: None, r"Stepping must give a Step of 3 frames, got None"),
        (lambda: Step(EYES[:1], (4, 4)), r"must give a Step of 3 frames, got 1 matrices"),
        (lambda: Step(EYES[0], (4, 4)), r"matrices of a Step must be finite, \(T, 2, 3\), got \(2"),
        (lambda: Step(EYES * np.nan, (4, 4)), r"matrices of a Step must be finite"),
        (lambda: Step(EYES * 0, (4, 4)), r"matrices of a Step must be invertible"),
        (lambda: Step("abc", (4, 4)), r"matrices of a Step must be numbers \(T, 2, 3\), got 'abc'"),  # type: ignore[arg-type]
        (
            lambda: Step(EYES, (0, 4)),
            r"size of a Step must be 2 integers of at least 1, got \(0, 4",
        ),
        (lambda: Step(EYES, (4, 4), 300), r"fill of a Step must be within \[0, 255\], got 300"),
    ],
)
def test_a_step_of_one_s_own_is_checked(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Stepping(make)(make_clip())


def test_a_step_of_lists_is_a_step_of_arrays() -> None:
    listed = Stepping(lambda: Step(EYES.tolist(), [12, 15]))(make_clip())  # type: ignore[arg-type]
    assert_same(listed, ClipFlip(0.0)(make_clip()))


def test_parameters_of_another_length_are_refused() -> None:
    params = SlowRotation().make_params(make_clip(num_frames=2))
    with pytest.raises(ValueError, match="SlowRotation must give a Step of 3 frames, got 2 matr"):
        SlowRotation().with_params(make_clip(num_frames=3), params)


def test_drawing_cannot_change_what_is_given() -> None:
    class Writes(Given):
        def make_params(self, sample: Any, generator: torch.Generator | None = None) -> None:  # noqa: ARG002
            sample["video"].fill_(3)
            sample["masks"].fill_(True)

    clip = make_clip()
    before = clip["video"].clone(), clip["masks"].clone()
    result = Writes(lambda thing: thing)(clip)
    assert torch.equal(clip["video"], before[0])
    assert torch.equal(clip["masks"], before[1])
    assert torch.equal(result["video"], before[0])


def test_dicts_of_other_kinds_stay_what_they_are() -> None:
    ordered = OrderedDict(reversed(list(make_clip().items())))
    result = ClipFlip()(ordered, generator())
    assert type(result) is OrderedDict
    assert list(result)[:4] == list(ordered)
    assert type(ClipFlip()(defaultdict(list, make_clip()), generator())) is defaultdict


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: VideoAutoAugment(pool=None), r"pool must be one or more of .*, got None"),
        (lambda: VideoAutoAugment(pool=[["hue"]]), r"pool must be one or more of .*, got \[\['hue"),
        (lambda: ClipCompose(None), r"transforms must be a list, got NoneType"),
        (lambda: ClipCompose(ClipFlip()), r"transforms must be a list, got ClipFlip"),
        (lambda: boxes_from_masks("x"), r"masks must be a tensor \(N, T, H, W\), got str"),
    ],
)
def test_lists_that_are_none_are_refused_by_name(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_lists_may_be_generators() -> None:
    assert VideoAutoAugment(pool=(name for name in ["hue"])).pool == ("hue",)  # type: ignore[arg-type]
    assert len(ClipCompose(ClipFlip() for _ in range(3)).transforms) == 3  # type: ignore[arg-type]
