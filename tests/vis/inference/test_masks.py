"""Masks of a frame from mask logits: the definition, and the kernels for the CPU beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from vis.support.mask_logits import CASES, Case, assert_same_masks, draw

from vidgap_vis.inference.masks import finish_masks, native, reference
from vidgap_vis.inference.masks.taps import Resizing, taps_of
from vidgap_vis.native import extension

LEVELS_OF_X86 = ["x86-64-v4", "x86-64-v3", "baseline"]
ODD = [float("nan"), float("inf"), -float("inf"), 1e30, -1e30, 3e38, -3e38, 0.0, -0.0, 1e-40]


@pytest.fixture
def compiled() -> ModuleType:
    """The extension, or the reason why there is none."""
    found = extension(warns=False)
    if found is None:
        if os.environ.get("VIDGAP_REQUIRE_NATIVE") == "1":
            pytest.fail("the extension is not built here")
        pytest.skip("the extension is not built here")
    return found


@pytest.fixture(params=LEVELS_OF_X86)
def level(request: pytest.FixtureRequest, compiled: ModuleType) -> Iterator[ModuleType]:
    """The extension with the kernels of each instruction set."""
    before = compiled.logit_kernels()
    if not compiled.use_logit_kernels(request.param):
        pytest.skip(f"{request.param} is not built in, or this processor has it not")
    yield compiled
    compiled.use_logit_kernels(before)


def by_definition(case: Case, logits: Tensor) -> Any:
    return reference.finish_masks(case.output, logits, case.size, case.resize)


@pytest.mark.parametrize("kind", ["blobs", "noise"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_kernels_agree_with_the_definition(case: Case, kind: str, level: ModuleType) -> None:
    logits = draw(case, kind=kind)
    assert_same_masks(case, logits, native.finish_masks(level, logits, case.resizing))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_definition_agrees_with_itself(case: Case) -> None:
    logits = draw(case)
    assert assert_same_masks(case, logits, by_definition(case, logits)) == 0


def test_frames_of_720p_are_equal_to_a_pixel(level: ModuleType) -> None:
    case = Case(8, (96, 160), (384, 640), (360, 640), (720, 1280))
    logits = draw(case)
    different = assert_same_masks(case, logits, native.finish_masks(level, logits, case.resizing))
    assert different <= 2  # of 7 million, all within 1e-4 of zero


@st.composite
def cases(draw: st.DrawFn) -> Case:
    def size(least: int, most: int) -> tuple[int, int]:
        return draw(st.integers(least, most)), draw(st.integers(least, most))

    shape = size(1, 20)
    padded = draw(st.sampled_from([shape, (4 * shape[0], 4 * shape[1]), size(1, 60)]))
    frame = (draw(st.integers(1, padded[0])), draw(st.integers(1, padded[1])))
    wanted = draw(st.sampled_from([frame, (2 * frame[0], 2 * frame[1]), size(1, 90)]))
    return Case(2, shape, padded, frame, wanted, draw(st.sampled_from(["bilinear", "nearest"])))


@settings(max_examples=300, deadline=None)
@given(case=cases(), seed=st.integers(0, 2**31), kind=st.sampled_from(["blobs", "noise"]))
def agree_whatever_the_sizes(case: Case, seed: int, kind: str) -> None:
    logits = draw(case, seed, kind)
    got = native.finish_masks(extension(), logits, case.resizing)
    assert_same_masks(case, logits, got)


@pytest.mark.usefixtures("level")
def test_kernels_agree_whatever_the_sizes() -> None:
    agree_whatever_the_sizes()


@settings(max_examples=200, deadline=None)
@given(case=cases(), data=st.data())
def agree_in_odd_numbers(case: Case, data: st.DataObject) -> None:
    logits = draw(case, data.draw(st.integers(0, 2**31)))
    flat = logits.view(-1)
    for _ in range(data.draw(st.integers(1, 4))):
        flat[data.draw(st.integers(0, len(flat) - 1))] = data.draw(st.sampled_from(ODD))
    got = native.finish_masks(extension(), logits, case.resizing)
    wanted = by_definition(case, logits)
    np.testing.assert_array_equal(np.isnan(got.scores), np.isnan(wanted.scores))
    large = logits.abs()[logits.isfinite()].max().item() if logits.isfinite().any() else 1.0
    if large < 1e20:  # else all is rounding
        assert_same_masks(case, logits, got)


@pytest.mark.usefixtures("level")
def test_what_is_not_finite_is_decided_as_by_the_definition() -> None:
    agree_in_odd_numbers()


@pytest.mark.parametrize("logit", [3e38, 1e-38, float("inf")])
def test_the_largest_and_smallest_logits_keep_their_signs(
    logit: float, compiled: ModuleType
) -> None:
    case = Case(2, (6, 9), (6, 9), (6, 9), (13, 20))
    logits = torch.stack([torch.full((6, 9), logit), torch.full((6, 9), -logit)])
    got = native.finish_masks(compiled, logits, case.resizing)
    assert got.areas.tolist() == by_definition(case, logits).areas.tolist()
    assert got.areas.tolist()[1] == 0


def test_nan_is_no_pixel_of_a_mask(compiled: ModuleType) -> None:
    case = Case(1, (4, 5), (4, 5), (4, 5), (4, 5))
    logits = torch.ones(1, 4, 5)
    logits[0, 1, 2] = torch.nan
    got = native.finish_masks(compiled, logits, case.resizing)
    assert got.areas.tolist() == [19]
    assert not got.rles[0].decode()[1, 2]
    assert np.isnan(got.scores).all()


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_shorter_dtypes_are_converted_first(dtype: torch.dtype) -> None:
    logits = draw(CASES[0]).to(dtype)
    got = finish_masks(CASES[0].output, logits, CASES[0].size)
    assert_same_masks(CASES[0], logits, got)


@pytest.mark.usefixtures("compiled")
def test_strides_and_gradients_do_not_matter() -> None:
    case = CASES[0]
    logits = draw(case)
    wide = torch.full((*case.shape, case.count, 2), torch.nan)
    wide[..., 0] = logits.permute(1, 2, 0)
    strided = wide[..., 0].permute(2, 0, 1)
    assert not strided.is_contiguous()
    got = finish_masks(case.output, strided.requires_grad_(), case.size)
    wanted = finish_masks(case.output, logits, case.size)
    assert got.rles == wanted.rles
    np.testing.assert_array_equal(got.scores, wanted.scores)


@pytest.fixture
def _broken_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("the kernel was called")

    monkeypatch.setattr(native, "finish_masks", fail)


@pytest.mark.usefixtures("compiled", "_broken_kernel")
def test_the_kernel_is_used_where_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    case, logits = CASES[0], draw(CASES[0])
    with pytest.raises(AssertionError, match="the kernel was called"):
        finish_masks(case.output, logits, case.size)
    got = finish_masks(case.output, logits.double(), case.size)
    assert got.rles == by_definition(case, logits.double()).rles
    monkeypatch.setenv("VIDGAP_BACKEND", "reference")
    got, wanted = finish_masks(case.output, logits, case.size), by_definition(case, logits)
    assert got.rles == wanted.rles
    np.testing.assert_array_equal(got.scores, wanted.scores)


def test_without_the_extension_the_definition_is_used_and_one_warning_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("vidgap_vis.native._native", None)
    monkeypatch.setattr("vidgap_vis.native._warned", set())
    case, logits = CASES[0], draw(CASES[0])
    with pytest.warns(RuntimeWarning, match="making masks of logits runs on its reference in PyT"):
        got = finish_masks(case.output, logits, case.size)
    assert got.rles == by_definition(case, logits).rles
    finish_masks(case.output, logits, case.size)  # another warning would be an error


@settings(max_examples=100, deadline=None)
@given(inputs=st.integers(1, 200), outputs=st.integers(1, 400))
def test_taps_have_the_weights_of_torch_to_the_bit(inputs: int, outputs: int) -> None:
    resizing = Resizing((1, inputs), (1, outputs), (1, outputs), (1, outputs), "bilinear")
    columns = taps_of(resizing)[1]
    weights = np.zeros((inputs, outputs), np.float32)
    np.add.at(weights, (columns.index, np.arange(outputs)[:, None]), columns.weight)
    one_hot = torch.eye(inputs)[None, :, None]
    wanted = F.interpolate(one_hot, size=(1, outputs), mode="bilinear", align_corners=False)
    np.testing.assert_array_equal(weights, wanted[0, :, 0])


def test_taps_that_cannot_be_are_refused(compiled: ModuleType) -> None:
    logits, score, area = torch.ones(1, 2, 2), np.zeros(1, np.float32), np.zeros(1, np.int64)
    index, weight = np.array([[0], [2]], np.int32), np.ones((2, 1), np.float32)
    taps = (index.ctypes.data, weight.ctypes.data, 2, 1)
    numbers = (score.ctypes.data, area.ctypes.data)
    with pytest.raises(ValueError, match="taps are not within the logits"):
        compiled.from_logits(logits.data_ptr(), 1, 2, 2, taps, taps, *numbers)
    index[:] = [[0], [1]]
    assert compiled.from_logits(logits.data_ptr(), 1, 2, 2, taps, taps, *numbers) == ["04"]


def test_changes_that_cannot_be_are_refused(compiled: ModuleType) -> None:
    index, bits, area = np.zeros(1, np.int32), np.array([0b10100], np.uint32), np.zeros(1, np.int64)
    addresses = (index.ctypes.data, bits.ctypes.data)
    assert compiled.from_changes(*addresses, 1, 1, 6, area.ctypes.data) == ["222"]
    assert area.tolist() == [2]
    with pytest.raises(ValueError, match="changes do not ascend, or are not within the masks"):
        compiled.from_changes(*addresses, 1, 1, 3, area.ctypes.data)
