"""Loading weights: strict except for what is allowed, and a report of what does not fit."""

from __future__ import annotations

import pickle

import pytest
import torch
from segmenter.support import MixFrames, small_model

from vidgap_segmenter import LoadReport, Mask2Former, WeightsMismatch, weights


def test_loading_is_strict_except_for_what_is_allowed(model: Mask2Former) -> None:
    state = model.state_dict()
    assert str(weights.load_checked(small_model(), state)) == "all weights loaded"
    other = small_model(temporal=MixFrames())
    with pytest.raises(ValueError, match=r"missing +temporal.now.weight"):
        weights.load_checked(other, state)
    report = weights.load_checked(other, state, allow_missing=("temporal.",))
    assert {name.split(".")[0] for name in report.missing} == {"temporal"}
    state["decoder.norm.scale"] = state.pop("decoder.norm.weight")
    with pytest.raises(ValueError, match=r"unexpected +decoder.norm.scale"):
        weights.load_checked(small_model(), state)


def test_a_mismatch_is_reported_and_its_error_can_be_pickled(model: Mask2Former) -> None:
    state = model.state_dict()
    other = small_model(temporal=MixFrames())
    state["decoder.norm.scale"] = state.pop("decoder.norm.weight")
    state["decoder.norm.bias"] = torch.ones(3)
    with pytest.raises(WeightsMismatch) as caught:
        weights.load_checked(other, state, allow_missing=("temporal.",))
    refused = LoadReport(
        missing=("decoder.norm.weight",),
        unexpected=("decoder.norm.scale",),
        mismatched=(("decoder.norm.bias", (64,), (3,)),),
    )
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):
        assert error.report == refused  # what is allowed is not in it
        assert str(error) == f"weights do not fit Mask2Former:\n{refused}"
