"""The module in somebody else's model: what it is given, what comes back, and how it leaves."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from temporal.necks import (
    FORMS,
    IMAGES,
    Model,
    mixed,
    named,
    same,
    small,
    tokens,
    tokens_of_mapping,
    weights_of,
    with_more,
)
from temporal.pyramids import make_module
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vidgap_temporal import attach


@torch.no_grad()
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("num_frames", [1, 2, 3, 6])
def test_the_maps_are_what_the_module_makes_of_them(form, num_frames):
    pack, maps_of = FORMS[form]
    model, mstm = Model(pack), small()
    plain = model(IMAGES)
    attach(model, mstm, num_frames, at="neck")
    refined = model(IMAGES)
    assert type(refined) is type(plain)
    if isinstance(plain, dict):
        assert list(refined) == list(plain)
    assert same(maps_of(refined), mixed(mstm, maps_of(plain), num_frames))


@torch.no_grad()
@pytest.mark.parametrize("form", FORMS)
def test_an_identity_changes_no_bit_and_leaves_no_trace(form):
    pack, maps_of = FORMS[form]
    model = Model(pack)
    before, plain = weights_of(model), maps_of(model(IMAGES))
    with attach(model, small(init="identity"), 3, at="neck"):
        assert same(maps_of(model(IMAGES)), plain)
    with attach(model, small(), 3, at="neck"):
        assert not same(maps_of(model(IMAGES)), plain)
    assert same(maps_of(model(IMAGES)), plain)
    assert list(model.state_dict()) == list(before)
    assert same(list(weights_of(model).values()), list(before.values()))
    assert not hasattr(model, "temporal")
    assert not model.neck._forward_hooks


@torch.no_grad()
def test_what_is_no_map_passes_untouched():
    model = Model(with_more)
    plain = model(IMAGES)
    attach(model, small(), 3, at="neck")
    refined = model(IMAGES)
    assert refined["size"] == (8, 12)
    assert torch.equal(refined["mask"], plain["mask"])


@torch.no_grad()
def test_the_model_itself_may_be_the_place():
    model, mstm = Model(), small()
    plain = model(IMAGES)
    with attach(model, mstm, 3, at=""):
        assert same(model(IMAGES), mixed(mstm, plain, 3))
    assert same(model(IMAGES), plain)


@torch.no_grad()
def test_a_lone_map_is_a_pyramid_of_one():
    model, mstm = Model(lambda maps: maps[1]), small(num_scales=1)
    plain = model(IMAGES)
    attach(model, mstm, 3, at="neck")
    assert same([model(IMAGES)], mixed(mstm, [plain], 3))


@torch.no_grad()
@pytest.mark.parametrize("pack", [named, lambda maps: dict(list(named(maps).items())[::-1])])
@pytest.mark.parametrize(
    ("levels", "chosen"),
    [
        (None, "ab"),
        (("a", "c"), "ac"),
        (("c", "b"), "bc"),
        ((0, 2), "ac"),
        ((-1, "a"), "ac"),
        ((1, 2), "bc"),
    ],
)
def test_levels_are_keys_or_places_fine_to_coarse(levels, chosen, pack):
    model, mstm = Model(pack), small(num_scales=2)
    plain = model(IMAGES)
    attach(model, mstm, 3, at="neck", levels=levels)
    refined = model(IMAGES)
    assert same([refined[k] for k in chosen], mixed(mstm, [plain[k] for k in chosen], 3))
    assert all(torch.equal(refined[k], plain[k]) for k in plain if k not in chosen)


@torch.no_grad()
@pytest.mark.parametrize(
    ("levels", "chosen"), [((4, 5), (4, 5)), ((2, 4), (2, 4)), ((0, 1), (2, 4))]
)
def test_a_key_that_is_a_number_goes_before_an_index(levels, chosen):
    model, mstm = Model(lambda maps: dict(zip((2, 4, 5), maps, strict=True))), small(num_scales=2)
    plain = model(IMAGES)
    attach(model, mstm, 3, at="neck", levels=levels)
    refined = model(IMAGES)
    assert same([refined[k] for k in chosen], mixed(mstm, [plain[k] for k in chosen], 3))


@torch.no_grad()
def test_levels_of_tokens_are_places_fine_to_coarse_in_a_mapping_too():
    maps_of, wanted = FORMS["tokens"][1], []
    for pack in (tokens, tokens_of_mapping):
        model = Model(pack)
        attach(model, small(num_scales=2), 3, at="neck", levels=(0, 1))
        wanted.append(maps_of(model(IMAGES)))
    assert same(*wanted)
    plain = maps_of(Model(tokens)(IMAGES))
    assert [torch.equal(a, b) for a, b in zip(wanted[0], plain, strict=True)] == [0, 0, 1]


@torch.no_grad()
def test_the_number_of_frames_may_change_between_calls():
    model, mstm = Model(), small()
    plain = model(IMAGES)
    handle = attach(model, mstm, 3, at="neck")
    handle.num_frames = 2
    assert same(model(IMAGES), mixed(mstm, plain, 2))
    with pytest.raises(ValueError, match="num_frames must be a whole number of at least 1, got 0"):
        handle.num_frames = 0
    assert handle.num_frames == 2


@torch.no_grad()
def test_the_module_of_the_model_is_the_one_that_runs():
    model = Model()
    plain = model(IMAGES)
    handle = attach(model, small(), 3, at="neck")
    model.temporal = other = small(seed=7)
    assert same(model(IMAGES), mixed(other, plain, 3))
    handle.remove()
    assert same(model(IMAGES), plain)


def test_the_module_is_a_part_of_the_model():
    model, mstm = Model(), small()
    attach(model, mstm, 3, at="neck")
    names = {name for name, _ in model.named_parameters()}
    assert {f"temporal.{name}" for name, _ in mstm.named_parameters()} < names
    model.double()
    assert model(IMAGES.double())[0].dtype == torch.float64
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    twin = Model()
    attach(twin, make_module(seed=5), 3, at="neck")
    twin.double().load_state_dict(torch.load(file))
    assert same(twin(IMAGES.double()), model(IMAGES.double()))


@torch.no_grad()
@pytest.mark.parametrize(
    "duplicate",
    [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))],
    ids=["copy", "pickle"],
)
def test_a_copy_has_a_module_and_a_handle_of_its_own(duplicate):
    model, mstm = Model(), small()
    plain = model(IMAGES)
    handle = attach(model, mstm, 3, at="neck")
    refined = model(IMAGES)
    twin, twin_handle = duplicate((model, handle))
    alone = copy.deepcopy(model)
    for parameter in mstm.parameters():
        parameter.mul_(0.5)
    assert same(twin(IMAGES), refined)
    assert same(alone(IMAGES), refined)
    twin_handle.num_frames = 1
    assert same(twin(IMAGES), mixed(twin.temporal, plain, 1))
    twin_handle.remove()
    assert same(twin(IMAGES), plain)
    assert same(model(IMAGES), mixed(mstm, plain, 3))
    handle.remove()
    assert same(model(IMAGES), plain)
    assert same(alone(IMAGES), refined)


def test_only_the_handle_that_attached_removes_and_once():
    model, first = Model(), small()
    handle = attach(model, first, 3, at="neck")
    with pytest.raises(ValueError, match="model must not have 'temporal' yet, got Model"):
        attach(model, small(), 3, at="neck")
    assert len(model.neck._forward_hooks) == 1
    handle.remove()
    handle.remove()
    second = small()
    attach(model, second, 3, at="neck")
    handle.remove()
    assert model.temporal is second
    with pytest.raises(RuntimeError, match="inside"), attach(other := Model(), first, 3, at="neck"):
        raise RuntimeError("inside")
    assert not hasattr(other, "temporal")


@pytest.mark.parametrize("outside", [torch.float32, torch.bfloat16], ids=str)
@torch.no_grad()
def test_maps_keep_their_dtype_under_autocast(outside):
    model = Model()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model.neck.pack = lambda maps: [level.to(outside) for level in maps]
        plain = model(IMAGES)
        with attach(model, small(init="identity"), 3, at="neck"):
            assert same(model(IMAGES), plain)
        attach(model, small(), 3, at="neck")
        assert [level.dtype for level in model(IMAGES)] == [outside] * 3


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
@torch.no_grad()
def test_a_model_of_another_dtype_takes_the_module_along(dtype):
    model = Model().to(dtype)
    plain = model(IMAGES.to(dtype))
    attach(model, small(init="identity"), 3, at="neck")
    with pytest.raises(ValueError, match=r"mstm must be .*like levels \[0, 1, 2\] of 'neck', got"):
        model(IMAGES.to(dtype))
    model.to(dtype)
    assert same(model(IMAGES.to(dtype)), plain)


@pytest.mark.parametrize("init", ["identity", "default"])
@torch.no_grad()
def test_channels_last_stays(init):
    model = Model().to(memory_format=torch.channels_last)
    images = IMAGES.contiguous(memory_format=torch.channels_last)
    plain = model(images)
    assert all(level.is_contiguous(memory_format=torch.channels_last) for level in plain)
    attach(model, small(init=init), 3, at="neck")
    assert [level.stride() for level in model(images)] == [level.stride() for level in plain]


def gradients(model: nn.Module, run: Callable[[Tensor], Any]) -> list[Tensor]:
    loss = sum((level.square().mean() for level in run(IMAGES)), torch.zeros(()))
    return list(torch.autograd.grad(loss, list(model.parameters())))


def test_gradients_are_the_same_through_a_checkpoint():
    model = Model()
    attach(model, small(), 3, at="neck")
    plain = gradients(model, model)
    again = gradients(model, lambda images: checkpoint(model, images, use_reentrant=False))
    assert same(again, plain)
    assert all(gradient.any() for gradient in plain)


@pytest.mark.slow
@torch.no_grad()
def test_a_model_compiles_as_one_graph():
    pack, maps_of = FORMS["ordered dict"]  # as torchvision's, the hardest to follow
    model = Model(pack)
    handle = attach(model, small(num_short_layers=1, num_gru_layers=1), 3, at="neck")
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    for num_frames in (3, 2):
        handle.num_frames = num_frames
        assert same(maps_of(compiled(IMAGES)), maps_of(model(IMAGES)))
