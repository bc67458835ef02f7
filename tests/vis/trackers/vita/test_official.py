"""VITA and GenVIS give the official code's numbers, and their names fit its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tolerances import PARITY_FLOAT32, PARITY_FLOAT64
from vis.support.official_numbers import draw_weights, errors, mean_errors, read_cases
from vis.support.vita_inputs import draw_inputs
from vis.trackers.official_runs import RUNS

from vidgap_segmenter import WeightsMismatch
from vidgap_vis.trackers.genvis import GenVIS
from vidgap_vis.trackers.vita import VITA
from vidgap_vis.weights.official_heads.vita import (
    PREFIX,
    genvis_table,
    vita_head,
    vita_table,
)

CASES = {
    f"{method}-{name}": (method, case)
    for method in ("vita", "genvis")
    for name, case in read_cases(Path(__file__).parent / f"{method}.json").items()
}
TABLES = {"vita": vita_table(), "genvis": genvis_table()}

every_case = pytest.mark.parametrize(("method", "case"), CASES.values(), ids=CASES)


@every_case
def test_what_is_drawn_is_what_the_official_code_saw(method: str, case: dict[str, Any]) -> None:
    drawn = mean_errors(case, draw_weights(case), draw_inputs(case["constants"]))
    assert max(drawn.values()) < 1e-15, method


@every_case
def test_numbers_are_the_official_ones(method: str, case: dict[str, Any]) -> None:
    constants = case["constants"]
    outputs = RUNS[method](draw_weights(case), draw_inputs(constants), constants)
    assert outputs.keys() == case["outputs"].keys()
    found = errors(case, outputs)
    assert {name: error for name, error in found.items() if not error < PARITY_FLOAT64} == {}


@every_case
def test_float32_stays_near_the_official_numbers(method: str, case: dict[str, Any]) -> None:
    constants = case["constants"]
    weights, inputs = (
        {name: array.astype(np.float32) for name, array in arrays.items()}
        for arrays in (draw_weights(case), draw_inputs(constants))
    )
    outputs = RUNS[method](weights, inputs, constants)
    assert all(a.dtype in (np.float32, np.int64) for a in outputs.values())
    found = errors(case, outputs)
    assert found.pop("result_areas") <= 5  # entries that are a pixel off
    assert {name: error for name, error in found.items() if not error < PARITY_FLOAT32} == {}


@every_case
def test_every_official_name_is_used_once_and_back(method: str, case: dict[str, Any]) -> None:
    state = {PREFIX + name: torch.zeros(shape) for name, shape in case["shapes"].items()}
    renamed = TABLES[method].to_ours(state)
    assert renamed.unknown == ()
    used = [name for names in renamed.sources.values() for name in names]
    assert sorted(used) == sorted(state)
    back = TABLES[method].to_theirs(renamed.state)
    assert {n: t.shape for n, t in back.items()} == {n: t.shape for n, t in state.items()}


@every_case
def test_a_file_makes_the_head_that_it_holds(method: str, case: dict[str, Any]) -> None:
    constants = case["constants"]
    weights = {PREFIX + n: torch.from_numpy(w) for n, w in draw_weights(case).items()}
    file = {"backbone.stem.conv1.weight": torch.zeros(1), **weights}
    found = vita_head(file, window=constants["window"], num_heads=constants["heads"])
    assert found.rest == ("backbone.stem.conv1.weight",)
    assert isinstance(found.head, VITA if method == "vita" else GenVIS)
    assert not found.head.training
    back = TABLES[method].to_theirs(found.head.state_dict())
    assert all(torch.equal(back[name], tensor) for name, tensor in weights.items())
    released = vita_head(file, num_heads=constants["heads"]).head
    vita = released if isinstance(released, VITA) else released.vita
    assert vita.encoder.window == {"vita": 6, "genvis": 0}[method]


def test_files_that_do_not_fit_are_named() -> None:
    _, case = CASES["vita-a"]
    state = {PREFIX + name: torch.zeros(shape) for name, shape in case["shapes"].items()}
    with pytest.raises(ValueError, match=r"state must hold a head under 'vita_module\.', got none"):
        vita_head({"backbone.x": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"no table of VITA or GenVIS knows vita_module\.odd"):
        vita_head({**state, PREFIX + "odd": torch.zeros(1)})
    del state[PREFIX + "decoder_norm.weight"]
    with pytest.raises(WeightsMismatch, match="norm"):
        vita_head(state, num_heads=4)
    del state[PREFIX + "class_embed.weight"]
    with pytest.raises(ValueError, match=r"state must hold class_embed\.weight"):
        vita_head(state, num_heads=4)


def test_parameters_are_as_many_as_the_official_ones() -> None:
    with torch.device("meta"):
        measured = VITA(40, num_queries=36)  # 172 learned queries and positions in all
        released = GenVIS(VITA(40))  # 300, as released
    heads = (measured, released.vita, released)
    counts = [sum(p.numel() for p in head.parameters()) for head in heads]
    assert counts[0] == 13_142_313
    assert counts[1] == 13_142_313 + 128 * 256
    assert counts[2] - counts[1] == 263_168
