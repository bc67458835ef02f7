"""All numbers of the official trackers and heads, by the classes of vidgap_vis.trackers.

`VIDGAP_OFFICIAL_NUMBERS` is a folder with `trackers.py`, which draws weights and inputs and
compares, and `trackers/METHOD.json`; without it nothing is tested here. Copies of what single
methods need stand beside their tests.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import pytest
from tolerances import PARITY_FLOAT64
from vis.trackers.official_runs import RUNS

FOLDER = os.environ.get("VIDGAP_OFFICIAL_NUMBERS")


@pytest.fixture(scope="module")
def numbers() -> ModuleType:
    if FOLDER is None:
        pytest.skip("VIDGAP_OFFICIAL_NUMBERS names no folder")
    spec = importlib.util.spec_from_file_location("official", Path(FOLDER) / "trackers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("method", RUNS)
def test_all_cases_of_a_method(method: str, numbers: ModuleType) -> None:
    for case in numbers.cases(method):
        constants = numbers.constants(method, case)
        arrays = numbers.weights(method, case), numbers.inputs(method, case)
        found = numbers.compare(method, RUNS[method](*arrays, constants), case)
        assert {name: e for name, e in found.items() if not e < PARITY_FLOAT64} == {}, case
