"""DVIS's tracker and refiner give the official code's numbers, and their names fit its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tolerances import PARITY_FLOAT32, PARITY_FLOAT64
from vis.support.dvis_inputs import draw_inputs
from vis.support.official_numbers import draw_weights, errors, mean_errors, read_cases
from vis.trackers.official_runs import RUNS

from vidgap_vis.trackers.dvis import ReferringTracker
from vidgap_vis.weights.official_heads.dvis import TABLE

METHODS = ("dvis_tracker", "dvis_refiner", "dvis_offline")
CASES = {
    f"{method}-{name}": (method, case)
    for method in METHODS
    for name, case in read_cases(Path(__file__).parent / f"{method}.json").items()
}
PREFIXES = {"dvis_tracker": "tracker.", "dvis_refiner": "refiner.", "dvis_offline": ""}

every_case = pytest.mark.parametrize(("method", "case"), CASES.values(), ids=CASES)


@every_case
def test_what_is_drawn_is_what_the_official_code_saw(method: str, case: dict[str, Any]) -> None:
    drawn = mean_errors(case, draw_weights(case), draw_inputs(method, case["constants"]))
    assert max(drawn.values()) < 1e-15


@every_case
def test_numbers_are_the_official_ones(method: str, case: dict[str, Any]) -> None:
    constants = case["constants"]
    outputs = RUNS[method](draw_weights(case), draw_inputs(method, constants), constants)
    found = errors(case, outputs)
    assert {name: error for name, error in found.items() if not error < PARITY_FLOAT64} == {}


@every_case
def test_float32_stays_near_the_official_numbers(method: str, case: dict[str, Any]) -> None:
    constants = case["constants"]
    weights, inputs = (
        {name: array.astype(np.float32) for name, array in arrays.items()}
        for arrays in (draw_weights(case), draw_inputs(method, constants))
    )
    outputs = RUNS[method](weights, inputs, constants)
    assert all(a.dtype in (np.float32, np.int64) for a in outputs.values())
    found = errors(case, outputs)
    for pixels in ("result_areas",):
        assert found.pop(pixels, 0) <= 5
    assert {name: error for name, error in found.items() if not error < PARITY_FLOAT32} == {}


def right_way(case: dict[str, Any]) -> torch.Tensor:
    """Return the order (T, Q) that the tracker finds without the release's habit."""
    constants = case["constants"]
    queries = torch.from_numpy(draw_inputs("dvis_tracker", constants)["frame_embeds"])
    torch.manual_seed(0)
    tracker = ReferringTracker(constants["C"], constants["K"], num_layers=1, ffn_channels=8)
    _, order, _ = tracker.double().eval().step(queries.permute(0, 3, 2, 1))
    return order[0].T


def test_case_b_needs_no_inverse_alignment_and_case_a_does() -> None:
    official = {
        name: torch.tensor(CASES[f"dvis_tracker-{name}"][1]["outputs"]["indices"]["ints"])
        for name in "ab"
    }
    assert torch.equal(right_way(CASES["dvis_tracker-b"][1]), official["b"])
    ours = right_way(CASES["dvis_tracker-a"][1])
    # the first assignments agree but for their direction
    assert torch.equal(ours[1].argsort(), official["a"][1])
    assert not torch.equal(ours, official["a"])


@every_case
def test_every_official_name_is_used_once_and_back(method: str, case: dict[str, Any]) -> None:
    prefix = PREFIXES[method]
    state = {prefix + name: torch.zeros(shape) for name, shape in case["shapes"].items()}
    renamed = TABLE.to_ours(state)
    assert renamed.unknown == ()
    used = [name for names in renamed.sources.values() for name in names]
    assert sorted(used) == sorted(state)
    back = TABLE.to_theirs(renamed.state)
    assert {n: t.shape for n, t in back.items()} == {n: t.shape for n, t in state.items()}
