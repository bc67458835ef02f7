"""A clip depends on its generator's seed alone, not on workers, order or history."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from augment.clips import assert_same, generator, make_clip, make_image
from torch.utils.data import DataLoader, Dataset

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
)
from vidgap_augment.crop import Windows
from vidgap_augment.rotation import Rotation

CLIP = make_clip(num_instances=2, num_frames=2, height=40, width=50)
IMAGE = make_image(num_instances=2, height=40, width=50)
CENTER = (0.41303994245860426, 0.5171291370117939)
FROZEN: list[tuple[ClipTransform[Any], Sample, object]] = [
    (
        PseudoClip(2),
        IMAGE,
        Rotation((10.441059511020725, -8.40451574407991), (CENTER, CENTER)),
    ),
    (
        SlowRotation(30.0),
        CLIP,
        Rotation((20.88211902204145, -16.80903148815982), (CENTER, CENTER)),
    ),
    (ClipFlip(), CLIP, True),
    (ClipResize((10, 20, 30)), CLIP, (10, 13)),
    (ClipScaleJitter(), CLIP, (424, 530)),
    (ClipFixedCrop((16, 16)), CLIP, Windows((16, 16), ((5, 29), (5, 29)))),
    (ClipCrop((5, 30)), CLIP, Windows((11, 23), ((21, 25), (21, 25)))),
    (
        ClipCrop((5, 30), sliding=True, probability=1.0),
        CLIP,
        Windows((11, 23), ((24, 14), (25, 13))),
    ),
]
"""Parameters drawn with the seed 2026. They never change: published runs rest on them."""
PIPELINE = ClipCompose(
    [PseudoClip(2), ClipFlip(), ClipScaleJitter((24, 24), (0.5, 1.5)), ClipFixedCrop((24, 24))]
)


each_case = pytest.mark.parametrize(
    ("transform", "sample", "params"), FROZEN, ids=lambda value: type(value).__name__
)


@each_case
def test_parameters_of_a_seed_are_frozen(
    transform: ClipTransform[Any], sample: Sample, params: object
) -> None:
    assert transform.make_params(sample, generator(2026)) == params


@each_case
def test_parameters_differ_between_seeds(
    transform: ClipTransform[Any], sample: Sample, params: object
) -> None:
    drawn = [transform.make_params(sample, generator(seed)) for seed in range(20)]
    assert any(other != params for other in drawn)


@each_case
def test_transform_survives_pickling(
    transform: ClipTransform[Any], sample: Sample, params: object
) -> None:
    copy = pickle.loads(pickle.dumps(transform))
    assert copy.make_params(sample, generator(2026)) == params
    assert_same(copy(sample, generator(1)), transform(sample, generator(1)))


class SeededClips(Dataset[Sample]):
    """Pseudo-clips; the item (epoch, index) is made from a generator of (7, epoch, index)."""

    def __getitem__(self, item: tuple[int, int]) -> Sample:
        epoch, index = item
        words = np.random.SeedSequence([7, epoch, index]).generate_state(1, np.uint64)
        return PIPELINE(make_image(seed=index), generator(int(words[0])))


def load(num_workers: int) -> dict[tuple[int, int], Sample]:
    """Return the clips of two epochs, the second in another order."""
    order = [(0, index) for index in range(5)] + [(1, index) for index in (3, 0, 4, 2, 1)]
    context = "fork" if num_workers else None
    loader = DataLoader(
        SeededClips(), batch_size=None, sampler=order, num_workers=num_workers,
        multiprocessing_context=context,
    )  # fmt: skip
    return dict(zip(order, loader, strict=True))


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
# Python 3.12 and later warn of any fork beside threads; torch always has some.
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("num_workers", [1, 4])
def test_clips_are_the_same_with_any_number_of_workers(num_workers: int) -> None:
    alone, shared = load(0), load(num_workers)
    for item in alone:
        assert_same(alone[item], shared[item])


def test_an_image_gives_another_clip_in_another_epoch() -> None:
    clips = load(0)
    for index in range(5):
        assert not torch.equal(clips[0, index]["video"], clips[1, index]["video"])


def test_a_transform_keeps_nothing_from_call_to_call() -> None:
    fresh = PIPELINE(IMAGE, generator(3))
    for seed in range(5):
        PIPELINE(make_image(seed=seed), generator(seed))
    assert_same(PIPELINE(IMAGE, generator(3)), fresh)
    assert not list(PIPELINE.parameters())
    assert not PIPELINE.state_dict()


def test_pickled_composition_gives_the_same_clip() -> None:
    copy = pickle.loads(pickle.dumps(PIPELINE))
    assert_same(copy(IMAGE, generator(1)), PIPELINE(IMAGE, generator(1)))


def test_no_generator_means_torch_s_default_one() -> None:
    torch.manual_seed(11)
    assert_same(PIPELINE(IMAGE), PIPELINE(IMAGE, generator(11)))


def test_a_default_device_elsewhere_does_not_move_the_draws() -> None:
    with torch.device("meta"):
        params = PseudoClip(2).make_params(IMAGE, generator(1))
    assert params == PseudoClip(2).make_params(IMAGE, generator(1))


@pytest.mark.parametrize("transform", [ClipFlip(), ClipCompose([ClipFlip()])], ids=str)
def test_what_is_no_generator_is_refused(transform: Any) -> None:
    with pytest.raises(ValueError, match=r"generator must be a torch.Generator or None, got int"):
        transform(make_clip(), 3)
    with pytest.raises(ValueError, match=r"must hold an image or a video, got nothing"):
        transform()
