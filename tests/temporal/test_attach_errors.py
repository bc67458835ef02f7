"""What does not fit is named, when it is attached or when it is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from temporal.necks import IMAGES, Model, named, small
from torch import Tensor, nn

from vidgap_temporal import attach


@pytest.mark.parametrize("batch", [4, 5, 1])
def test_a_batch_that_the_number_of_frames_does_not_divide(batch):
    model = Model()
    attach(model, small(), 3, at="neck")
    with pytest.raises(ValueError, match=rf"a multiple of num_frames=3, .* got {batch}$"):
        model(IMAGES[:batch])


def test_a_model_without_a_known_path():
    wanted = (
        r"model must have one of \['model.pixel_level_module.decoder.encoder', .* got Model with "
        r"none of them; at='path.of.a.submodule' names another"
    )
    with pytest.raises(ValueError, match=wanted):
        attach(Model(), small(), 3)


def test_a_model_that_is_none():
    with pytest.raises(ValueError, match=r"model must be a torch.nn.Module, got str"):
        attach("mask_rcnn", small(), 3)


def test_a_path_that_is_none():
    with pytest.raises(
        ValueError, match=r"at must be .* of Model, such as \['neck'\], got 'neck.fpn'"
    ):
        attach(Model(), small(), 3, at="neck.fpn")


@pytest.mark.parametrize("container", [nn.Sequential, lambda *parts: nn.ModuleList(parts)])
def test_a_container_would_run_the_module_as_a_part(container):
    with pytest.raises(ValueError, match="model must be a module of its own, since a container"):
        attach(container(Model()), small(), 3, at="0.neck")


def test_a_model_that_has_a_temporal_of_its_own():
    model = Model()
    model.temporal = None
    with pytest.raises(ValueError, match="model must not have 'temporal' yet, got Model"):
        attach(model, small(), 3, at="neck")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_frames": 0}, "num_frames must be a whole number of at least 1, got 0"),
        ({"num_frames": 2.0}, "num_frames must be a whole number of at least 1, got 2.0"),
        ({"levels": ("a", "b")}, r"levels must be num_scales=3 maps, got \['a', 'b'\]"),
    ],
)
def test_a_refused_argument_leaves_the_model_alone(arguments, message):
    model = Model()
    before = list(model.state_dict())
    with pytest.raises(ValueError, match=message):
        attach(**{"model": model, "mstm": small(), "num_frames": 3, "at": "neck", **arguments})
    assert list(model.state_dict()) == before
    assert not model.neck._forward_hooks


def widen(maps: list[Tensor]) -> dict[str, Tensor]:
    return named([maps[0], torch.cat([maps[1]] * 2, dim=1), maps[2]])


def bend(maps: list[Tensor]) -> list[Tensor]:
    return [maps[1], maps[0], maps[2]]


CALLS: dict[str, tuple[Callable[[list[Tensor]], Any], dict[str, Any]]] = {
    r"levels \['a', 'b', 'c'\] of 'neck' must have 8 channels, .* got \[8, 16, 8\]": (widen, {}),
    r"maps of 'neck' must come fine to coarse or coarse to fine, got \{0: \(6, 8, 4, 6\), 1: ": (
        bend,
        {},
    ),
    r"maps of 'neck' must be at least num_scales=3, got \{0: \(6, 8, 8, 12\)\}": (
        lambda maps: maps[:1],
        {},
    ),
    r"levels must be among those of 'neck', \{'a': \(6, 8, 8, 12\), .*\}, got 'd'": (
        named,
        {"levels": "abd"},
    ),
    r"levels must be among .* got 3": (list, {"levels": (0, 1, 3)}),
    r"levels must be 3 different maps, got \['a', 'b', 0\]": (named, {"levels": ("a", "b", 0)}),
    r"levels \[0, 1, 2\] of 'neck' must be of one batch, got \[3, 6\]": (
        lambda maps: [*maps[:2], maps[2][:3]],
        {},
    ),
    r"'neck' must return maps \(B\*T, C, H, W\), .* got Tensor": (lambda maps: maps[0].sum(), {}),
    r"'neck' must return maps .* got dict": (lambda maps: {"mask": maps[0] > 0}, {}),
    r"'neck' must return maps .* got NoneType": (lambda _: None, {}),
}


@pytest.mark.parametrize("message", CALLS)
def test_maps_that_the_module_does_not_take(message):
    pack, arguments = CALLS[message]
    model = Model(pack)
    attach(model, small(), 3, at="neck", **arguments)
    with pytest.raises(ValueError, match=message):
        model(IMAGES)
