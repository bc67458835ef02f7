"""MinVIS, IDOL and MaskTrack R-CNN give the official codes' numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from vis.support import associator_inputs
from vis.support.official_numbers import Array, as_float32, errors, read_cases
from vis.trackers.official_associators import RUNS

from vidgap_vis.trackers.idol import IDOLOptions

FOLDER = Path(__file__).parent / "official"


def cases(method: str) -> dict[str, dict[str, Any]]:
    return read_cases(FOLDER / f"{method}.json")


def single(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Round to what float32 holds, but for integers."""
    return {
        name: array if array.dtype.kind == "i" else as_float32(array)
        for name, array in arrays.items()
    }


CASES = [(method, name) for method in RUNS for name in cases(method)]


@pytest.mark.parametrize(("method", "name"), CASES, ids=str)
def test_tracks_are_the_official_ones(method: str, name: str) -> None:
    case = cases(method)[name]
    weights = single(associator_inputs.weights(case))
    inputs = single(associator_inputs.INPUTS[method](case["constants"]))
    outputs = RUNS[method](weights, inputs, case["constants"])
    assert errors(case, outputs) == pytest.approx(dict.fromkeys(case["outputs"], 0.0), abs=1e-8)


@pytest.mark.parametrize(
    ("name", "options"),
    [("a", IDOLOptions()), ("b", IDOLOptions.for_ovis())],
    ids=["ytvis", "ovis"],
)
def test_defaults_of_idol_are_the_released_configurations(name: str, options: IDOLOptions) -> None:
    constants = cases("idol")[name]["constants"]
    found = (options.min_score, options.duplicate_iou, options.new_track_score, options.memory_size)
    assert found == tuple(constants[key] for key in ("select", "mask_nms", "add_new", "memory"))
