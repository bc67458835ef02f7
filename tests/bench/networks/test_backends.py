"""The backend that a network of the benchmark runs on."""

from __future__ import annotations

import os

import torch

from bench.harness.agreement import SMALL
from bench.harness.contender import Work
from bench.networks import segmenter


def test_a_backend_is_taken_for_one_run_alone() -> None:
    before = dict(os.environ)
    with segmenter.precision(Work(SMALL, 2, torch.float32, "cpu"), "reference"):
        assert os.environ[segmenter.SWITCH] == "reference"
    assert dict(os.environ) == before
