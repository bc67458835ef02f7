"""MinVIS, IDOL and MaskTrack R-CNN give the official codes' numbers."""

from __future__ import annotations

import pytest
from vis.support import associator_inputs, kept_numbers
from vis.trackers.official_associators import RUNS

from vidgap_vis.trackers.idol import IDOLOptions

CASES = [(method, name) for method in RUNS for name in kept_numbers.cases(method)]


@pytest.mark.parametrize(("method", "name"), CASES, ids=str)
def test_tracks_are_the_official_ones(method: str, name: str) -> None:
    case = kept_numbers.cases(method)[name]
    weights = kept_numbers.single(associator_inputs.weights(case))
    inputs = kept_numbers.single(associator_inputs.INPUTS[method](case["constants"]))
    outputs = RUNS[method](weights, inputs, case["constants"])
    errors = kept_numbers.errors(outputs, case["outputs"])
    assert errors == pytest.approx(dict.fromkeys(case["outputs"], 0.0), abs=1e-8)


@pytest.mark.parametrize(
    ("name", "options"),
    [("a", IDOLOptions()), ("b", IDOLOptions.for_ovis())],
    ids=["ytvis", "ovis"],
)
def test_defaults_of_idol_are_the_released_configurations(name: str, options: IDOLOptions) -> None:
    constants = kept_numbers.cases("idol")[name]["constants"]
    found = (options.min_score, options.duplicate_iou, options.new_track_score, options.memory_size)
    assert found == tuple(constants[key] for key in ("select", "mask_nms", "add_new", "memory"))
