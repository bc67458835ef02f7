"""The Triton kernel of `finish_masks` on a CPU, interpreted.

Triton reads TRITON_INTERPRET=1 once, when it is imported: `test_masks_triton.py` runs this file in
a process of its own.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from vis.support.mask_logits import CASES, Case, assert_same_masks, draw

from vidgap_vis.inference.masks import reference, triton
from vidgap_vis.native import extension

# What interpreted programs compute of infinite numbers.
pytestmark = pytest.mark.filterwarnings("ignore:(invalid value|overflow):RuntimeWarning")


SMALL = Case(3, (9, 11), (36, 44), (33, 44), (50, 71))


@pytest.mark.parametrize(
    "case", [case._replace(count=min(1, case.count)) for case in CASES], ids=str
)
def test_agrees_with_the_definition(case: Case) -> None:
    logits = draw(case)
    assert_same_masks(case, logits, triton.finish_masks(extension(), logits, case.resizing))


@pytest.mark.parametrize("kind", ["blobs", "noise"])
def test_several_masks_agree(kind: str) -> None:
    logits = draw(SMALL, kind=kind)
    assert_same_masks(SMALL, logits, triton.finish_masks(extension(), logits, SMALL.resizing))


@pytest.mark.parametrize("pixels", [(8, 4), (32, 32), (33, 31), (41, 25), (1, 32), (64, 17)])
def test_every_number_of_words_agrees(pixels: tuple[int, int]) -> None:
    case = Case(3, (5, 6), (20, 24), (19, 23), pixels)
    logits = draw(case, kind="noise")
    logits[1] = logits[1].abs()  # all inside
    assert_same_masks(case, logits, triton.finish_masks(extension(), logits, case.resizing))


@pytest.mark.parametrize("number", [torch.nan, torch.inf, -torch.inf, 1e30], ids=str)
def test_what_is_not_finite_is_decided_as_by_the_definition(number: float) -> None:
    logits = draw(SMALL)
    logits[0, 3:5, 2], logits[1, 8, 10] = number, number
    got = triton.finish_masks(extension(), logits, SMALL.resizing)
    wanted = reference.finish_masks(SMALL.output, logits, SMALL.size, SMALL.resize)
    assert got.areas.tolist() == wanted.areas.tolist()
    assert [rle.counts for rle in got.rles] == [rle.counts for rle in wanted.rles]
    np.testing.assert_array_equal(np.isnan(got.scores), np.isnan(wanted.scores))


def test_strides_and_dtypes_do_not_matter() -> None:
    logits = draw(SMALL).to(torch.bfloat16).transpose(1, 2).contiguous().transpose(1, 2)
    assert_same_masks(SMALL, logits, triton.finish_masks(extension(), logits, SMALL.resizing))


def test_one_copy_goes_to_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    copies = []
    copy = torch.Tensor.cpu
    monkeypatch.setattr(
        torch.Tensor, "cpu", lambda tensor: copies.append(tensor.numel()) or copy(tensor)
    )
    got = triton.finish_masks(extension(), draw(SMALL), SMALL.resizing)
    assert len(copies) == 1
    bounds = sum(len(rle.run_lengths()) for rle in got.rles)
    assert copies[0] <= 2 * bounds + SMALL.count  # a word with its index for a bound, and the sums
