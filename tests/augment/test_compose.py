"""Composition, in a list of ours and in torchvision's, with transforms of the user's."""

from __future__ import annotations

import numpy as np
import torch
from augment.clips import assert_same, assert_whole, generator, make_clip, make_image
from torch import Tensor
from torchvision.transforms import v2

from vidgap_augment import (
    ClipCompose,
    ClipCrop,
    ClipFixedCrop,
    ClipFlip,
    ClipResize,
    FrameTransform,
    GeometricTransform,
    PseudoClip,
    Sample,
    drop_empty,
)
from vidgap_augment.geometry import ClipShape, Step
from vidgap_augment.plan import Plan


def test_compose_runs_in_order_from_one_generator() -> None:
    # Only whole pixels move, so that one pass equals many to the bit (test_one_pass: the rest).
    members = [ClipFlip(), ClipCrop((6, 9), sliding=True), ClipFixedCrop((8, 8)), ClipFlip()]
    by_hand, g = make_clip(), generator(4)
    for member in members:
        by_hand = member(by_hand, g)
    assert_same(ClipCompose(members)(make_clip(), generator(4)), by_hand)
    nested = ClipCompose([ClipCompose(members[:2]), members[2]])
    assert_same(nested(make_clip(), generator(4)), by_hand)


def test_compose_with_a_probability_runs_all_or_nothing() -> None:
    group = ClipCompose([ClipResize((6,)), ClipFlip(1.0)], probability=0.25)
    clip, g = make_clip(), generator()
    results = [group(clip, g) for _ in range(200)]
    for result in results:
        assert_whole(result)
    sizes = [result["video"].shape[-2] for result in results]
    assert set(sizes) == {6, 12}
    assert 130 < sizes.count(12) < 170


def test_torchvision_compose_holds_clip_transforms_beside_its_own() -> None:
    pipeline = v2.Compose([PseudoClip(3), v2.ColorJitter(0.2), ClipFlip(), ClipResize((8,))])
    torch.manual_seed(0)
    clip = pipeline(make_image())
    assert_whole(clip)
    assert clip["video"].shape == (3, 3, 8, 10)


def test_own_transform_needs_only_parameters_and_what_they_do() -> None:
    class Darken(FrameTransform[int]):
        def make_params(self, sample: Sample, generator: torch.Generator | None = None) -> int:  # noqa: ARG002
            return int(torch.randint(2, 5, (), generator=generator))

        def transform(self, thing: Tensor, params: int) -> Tensor:
            return thing // params if thing.dtype == torch.uint8 else thing

    clip = make_clip()
    result = Darken()(clip, generator())
    assert_whole(result)
    assert (result["video"] <= 127).all()
    assert torch.equal(result["masks"], drop_empty(clip)["masks"])
    between = ClipCompose([ClipFlip(1.0), Darken(), ClipFlip(1.0)])(clip, generator())
    assert_same(between, Darken()(clip, generator_after_flip()))


def generator_after_flip() -> torch.Generator:
    """Return a generator in the state in which a flip leaves a fresh one."""
    g = generator()
    ClipFlip(1.0).make_params(make_clip(), g)
    return g


def test_own_geometry_is_one_matrix_a_frame_and_joins_the_one_pass() -> None:
    class Shear(GeometricTransform[float]):
        def draw(self, plan: Plan, generator: torch.Generator | None = None) -> float:  # noqa: ARG002
            return 0.5 + float(torch.rand((), generator=generator))

        def step(self, params: float, shape: ClipShape) -> Step:
            matrix = np.array([[1.0, params, 0.0], [0.0, 1.0, 0.0]])
            size = (shape.height, shape.width)
            return Step(np.tile(matrix, (shape.num_frames, 1, 1)), size, fill=7)

    clip = ClipCompose([Shear(), ClipFlip(1.0)])(make_clip(), generator(3))
    assert_whole(clip)
    assert (clip["video"][:, :, -1, -1] == 7).all()  # sheared away, then mirrored
