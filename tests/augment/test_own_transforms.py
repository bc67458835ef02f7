"""Transforms of a user's own, on pixels or by a step, and the checks of what they return."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from augment.clips import assert_same, assert_whole, generator, make_clip
from torch import Tensor
from torchvision import tv_tensors

from vidgap_augment import (
    ClipCompose,
    ClipFlip,
    ClipShape,
    FrameTransform,
    GeometricTransform,
    Plan,
    Sample,
    SlowRotation,
    Step,
    drop_empty,
)


def test_own_transform_needs_only_parameters_and_what_they_do() -> None:
    class Darken(FrameTransform[int]):
        def make_params(self, sample: Sample, generator: torch.Generator | None = None) -> int:  # noqa: ARG002 (the base has it)
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
        def draw(self, plan: Plan, generator: torch.Generator | None = None) -> float:  # noqa: ARG002 (the base has it)
            return 0.5 + float(torch.rand((), generator=generator))

        def step(self, params: float, shape: ClipShape) -> Step:
            matrix = np.array([[1.0, params, 0.0], [0.0, 1.0, 0.0]])
            size = (shape.height, shape.width)
            return Step(np.tile(matrix, (shape.num_frames, 1, 1)), size, fill=7)

    clip = ClipCompose([Shear(), ClipFlip(1.0)])(make_clip(), generator(3))
    assert_whole(clip)
    assert (clip["video"][:, :, -1, -1] == 7).all()  # sheared away, then mirrored


class Given(FrameTransform[None]):
    """Returns what a function makes of frames and masks."""

    def __init__(self, change: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self._change = change

    def make_params(self, sample: Any, generator: torch.Generator | None = None) -> None:
        """Draw nothing."""

    def transform(self, thing: Any, params: None) -> Any:  # noqa: ARG002 (the base has it)
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


def test_drawing_cannot_change_what_is_given() -> None:
    class Writes(Given):
        def make_params(self, sample: Any, generator: torch.Generator | None = None) -> None:  # noqa: ARG002 (the base has it)
            sample["video"].fill_(3)
            sample["masks"].fill_(True)

    clip = make_clip()
    before = clip["video"].clone(), clip["masks"].clone()
    result = Writes(lambda thing: thing)(clip)
    assert torch.equal(clip["video"], before[0])
    assert torch.equal(clip["masks"], before[1])
    assert torch.equal(result["video"], before[0])


def test_boxes_alone_cannot_follow_a_transform_of_one_s_own() -> None:
    clip = {k: v for k, v in make_clip(1, 2).items() if k != "masks"} | {"boxes": torch.zeros(2, 4)}
    with pytest.raises(ValueError, match=r"sample must have masks for Given, got boxes alone"):
        Given(lambda t: t)(clip)


class Stepping(GeometricTransform[None]):
    """Takes the step that a function returns."""

    def __init__(self, make: Callable[[], Any]) -> None:
        super().__init__()
        self._make = make

    def draw(self, plan: Plan, generator: torch.Generator | None = None) -> None:
        """Draw nothing."""

    def step(self, params: None, shape: ClipShape) -> Any:  # noqa: ARG002 (the base has it)
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
        (lambda: Step("abc", (4, 4)), r"matrices of a Step must be numbers \(T, 2, 3\), got 'abc'"),
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
    listed = Stepping(lambda: Step(EYES.tolist(), [12, 15]))(make_clip())
    assert_same(listed, ClipFlip(0.0)(make_clip()))


def test_parameters_of_another_length_are_refused() -> None:
    params = SlowRotation().make_params(make_clip(num_frames=2))
    with pytest.raises(ValueError, match="SlowRotation must give a Step of 3 frames, got 2 matr"):
        SlowRotation().with_params(make_clip(num_frames=3), params)
