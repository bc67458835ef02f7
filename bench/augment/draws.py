"""The random draws of a pipeline, recorded, for every contender to replay.

Each transform of `vidgap_augment` draws in one public method, `draw`. What these return, in the
order of the calls, says all that is done to a clip: other libraries can do the same, and a pipeline
without a part can replay the draws of the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from vidgap_augment import Sample


@dataclass(frozen=True)
class Draw:
    """What one transform drew for a clip.

    Attributes:
        name: the transform's class, e.g. "ClipFlip".
        params: what its `draw` returned.
        transform: itself, for its settings.
    """

    name: str
    params: Any
    transform: nn.Module


def generator(seed: int) -> torch.Generator:
    """Return a new generator with a seed."""
    return torch.Generator().manual_seed(seed)


def recorded(pipeline: nn.Module, sample: Sample, seed: int) -> list[Draw]:
    """Run a pipeline on a sample and return what it drew."""
    draws: list[Draw] = []

    def noting(transform: Any, draw: Callable[..., Any]) -> Callable[..., Any]:
        def draw_and_note(*args: Any) -> Any:
            params = draw(*args)
            draws.append(Draw(type(transform).__name__, params, transform))
            return params

        return draw_and_note

    drawing: list[Any] = [member for member in pipeline.modules() if hasattr(member, "draw")]
    for member in drawing:
        object.__setattr__(member, "draw", noting(member, member.draw))
    try:
        pipeline(sample, generator(seed))
    finally:
        for member in drawing:
            object.__delattr__(member, "draw")
    return draws


def replaying(pipeline: nn.Module, draws: Sequence[Draw]) -> nn.Module:
    """Make a pipeline draw what was recorded, one draw a class of transform."""
    params = {draw.name: draw.params for draw in draws}
    assert len(params) == len(draws), "two transforms of one class"
    for member in pipeline.modules():
        if hasattr(member, "draw") and type(member).__name__ in params:
            given = params[type(member).__name__]
            object.__setattr__(member, "draw", lambda *_, given=given: given)
    return pipeline


def same_on_all_frames(draws: Sequence[Draw]) -> list[Draw]:
    """Return the draws with one angle for all frames, about the middle, as `images=` supports."""
    return [_with_one_angle(draw) if draw.name == "SlowRotation" else draw for draw in draws]


def _with_one_angle(draw: Draw) -> Draw:
    count = len(draw.params.angles_deg)
    angles_deg = (draw.params.angles_deg[0],) * count
    centers = ((0.5, 0.5),) * count
    return replace(draw, params=replace(draw.params, angles_deg=angles_deg, centers=centers))
