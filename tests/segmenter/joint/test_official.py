"""The joint decoders and the losses of clips give the official codes' numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from segmenter.joint.official_inputs import INPUTS, draw_inputs
from segmenter.joint.official_runs import RUNS, SEQFORMER
from tolerances import PARITY_FLOAT32, PARITY_FLOAT64
from vis.support.official_numbers import draw_weights, errors, mean_errors, read_cases

from vidgap_segmenter.names import official

CASES = {
    f"{method}-{name}": (method, case)
    for method in INPUTS
    for name, case in read_cases(Path(__file__).parent / f"{method}.json").items()
}
TABLES = {"m2f_vis": (official.MASK2FORMER, official.PREDICTOR), "seqformer": (SEQFORMER, "")}

every_case = pytest.mark.parametrize(("method", "case"), CASES.values(), ids=CASES)


@every_case
def test_what_is_drawn_is_what_the_official_code_saw(method: str, case: dict[str, Any]) -> None:
    weights, inputs = draw_weights(case), draw_inputs(method, case["constants"])
    drawn = mean_errors(case, weights or {"none": np.zeros(1)}, inputs)
    assert max(drawn.values()) < 1e-15


@every_case
def test_numbers_are_the_official_ones(method: str, case: dict[str, Any]) -> None:
    constants = case["constants"]
    outputs = RUNS[method](draw_weights(case), draw_inputs(method, constants), constants)
    assert outputs.keys() == case["outputs"].keys()
    found = errors(case, outputs)
    assert {name: error for name, error in found.items() if not error < PARITY_FLOAT64} == {}


@every_case
def test_float32_stays_near_the_official_numbers(method: str, case: dict[str, Any]) -> None:
    constants = case["constants"]
    weights, inputs = (
        {
            name: array if array.dtype.kind == "i" else array.astype(np.float32)
            for name, array in arrays.items()
        }
        for arrays in (draw_weights(case), draw_inputs(method, constants))
    )
    outputs = RUNS[method](weights, inputs, constants)
    assert all(a.dtype in (np.float32, np.int64) for a in outputs.values())
    found = errors(case, outputs)
    assert {name: error for name, error in found.items() if not error < PARITY_FLOAT32} == {}


@pytest.mark.parametrize("method", TABLES)
def test_every_official_name_is_used_once_and_back(method: str) -> None:
    table, prefix = TABLES[method]
    _, case = CASES[f"{method}-a"]
    state = {prefix + name: torch.zeros(shape) for name, shape in case["shapes"].items()}
    renamed = table.to_ours(state)
    assert renamed.unknown == ()
    used = [name for names in renamed.sources.values() for name in names]
    assert sorted(used) == sorted(state)
    back = table.to_theirs(renamed.state)
    assert {n: t.shape for n, t in back.items()} == {n: t.shape for n, t in state.items()}
