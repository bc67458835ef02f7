"""The Triton kernel of `finish_masks` where only a GPU can tell."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from vis.support.mask_logits import CASES, Case, assert_same_masks, draw

from vidgap_vis.inference.masks import finish_masks, reference, triton
from vidgap_vis.native import extension

CUDA = torch.device("cuda")
ON_CUDA = triton.obstacle(CUDA, 1) if torch.cuda.is_available() else "no GPU"
pytestmark = [
    pytest.mark.skipif(ON_CUDA is not None, reason=str(ON_CUDA)),
    pytest.mark.skipif(extension(warns=False) is None, reason="the extension writes the strings"),
]
AT_720P = Case(8, (96, 160), (384, 640), (360, 640), (720, 1280))


@pytest.mark.parametrize("kind", ["blobs", "noise"])
@pytest.mark.parametrize("case", [*CASES, AT_720P], ids=str)
def test_agrees_with_the_definition(case: Case, kind: str) -> None:
    logits = draw(case, kind=kind).cuda()
    assert_same_masks(case, logits, finish_masks(case.output, logits, case.size, case.resize))


def test_the_kernel_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "finish_masks", None)
    finish_masks(AT_720P.output, draw(AT_720P).cuda(), AT_720P.size)


@pytest.mark.parametrize("number", [torch.nan, torch.inf, -torch.inf], ids=str)
def test_what_is_not_finite_is_decided_as_by_the_definition(number: float) -> None:
    case = Case(3, (9, 11), (36, 44), (33, 44), (50, 71))
    logits = draw(case).cuda()
    logits[0, 3:5, 2], logits[1, 8, 10] = number, number
    got = finish_masks(case.output, logits, case.size)
    wanted = reference.finish_masks(case.output, logits, case.size, case.resize)
    assert [rle.counts for rle in got.rles] == [rle.counts for rle in wanted.rles]
    np.testing.assert_array_equal(np.isnan(got.scores), np.isnan(wanted.scores))


def test_results_have_the_same_bits_every_time() -> None:
    logits = draw(AT_720P).cuda()
    first = finish_masks(AT_720P.output, logits, AT_720P.size)
    again = finish_masks(AT_720P.output, logits, AT_720P.size)
    assert again.rles == first.rles
    np.testing.assert_array_equal(again.scores, first.scores)
