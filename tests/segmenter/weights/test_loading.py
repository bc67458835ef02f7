"""Weights into modules: strict but for what is allowed, with a report of what does not fit."""

from __future__ import annotations

import pytest
from segmenter.support import MixFrames, small_model

from vidgap_segmenter import Mask2Former, weights


def test_loading_is_strict_but_for_what_is_allowed(model: Mask2Former) -> None:
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
