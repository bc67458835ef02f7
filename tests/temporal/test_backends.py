"""How a backend is chosen, refused and reported."""

from __future__ import annotations

import pytest
import torch

from vidgap_temporal import backends
from vidgap_temporal.ops import GRUWeights, conv_gru, window_attention
from vidgap_temporal.ops.backend import Obstacle, choose, report


def run_conv_gru(backend: str) -> torch.Tensor:
    weights = GRUWeights(torch.ones(6, 2, 3, 3), torch.ones(6, 2, 3, 3), torch.ones(6))
    return conv_gru(torch.ones(1, 2, 2, 3, 3), None, weights, backend=backend)[0]


def run_window_attention(backend: str) -> torch.Tensor:
    q = torch.ones(1, 2, 3, 3, 2)
    return window_attention(
        q, q, q, torch.ones(1, 9), num_heads=1, window_size=2, shift=1, backend=backend
    )


RUNS = {"conv_gru": run_conv_gru, "window_attention": run_window_attention}


@pytest.mark.parametrize("op", RUNS)
def test_the_reference_can_be_asked_for_by_name(op):
    torch.testing.assert_close(RUNS[op]("reference"), RUNS[op]("auto"))


@pytest.mark.parametrize("op", RUNS)
def test_a_backend_of_no_such_name_is_refused(op):
    with pytest.raises(
        ValueError, match=rf"{op}: backend must be one of \['auto', .*\], got 'gpu'"
    ):
        RUNS[op]("gpu")


@pytest.mark.parametrize("op", RUNS)
def test_every_op_is_reported_for_each_device(op):
    entry = backends()[op]
    assert entry["cpu"] == "reference"
    assert entry["cuda"] in ("reference", "native", "triton")
    assert "cpu: " in entry["reason"]


@pytest.mark.parametrize("op", RUNS)
def test_the_environment_forces_the_reference(op, monkeypatch):
    monkeypatch.setenv("VIDGAP_BACKEND", "reference")
    forced = {"cpu": "reference", "cuda": "reference", "reason": "VIDGAP_BACKEND=reference"}
    assert backends()[op] == forced
    RUNS[op]("auto")


@pytest.mark.parametrize("op", RUNS)
def test_the_environment_is_checked(op, monkeypatch):
    monkeypatch.setenv("VIDGAP_BACKEND", "cuda")
    with pytest.raises(ValueError, match="VIDGAP_BACKEND must be 'reference' or unset, got 'cuda'"):
        RUNS[op]("auto")


@pytest.mark.parametrize(
    ("op", "backend"), [("conv_gru", "native"), ("window_attention", "triton")]
)
def test_a_backend_for_gpus_is_refused_on_a_cpu_with_its_reason(op, backend):
    with pytest.raises(ValueError, match=rf"{op}\(backend='{backend}'\): runs on GPUs"):
        RUNS[op](backend)


def test_auto_takes_the_first_that_can_run(monkeypatch):
    obstacles = {"native": None, "triton": Obstacle("no GPU"), "reference": None}
    assert choose("op", "auto", obstacles) == "native"
    assert choose("op", "reference", obstacles) == "reference"
    monkeypatch.setenv("VIDGAP_BACKEND", "reference")
    assert choose("op", "auto", obstacles) == "reference"
    assert choose("op", "native", obstacles) == "native"


def test_a_backend_that_could_be_had_is_warned_of_once():
    obstacles = {"native": Obstacle("not built", "build it"), "reference": None}
    with pytest.warns(RuntimeWarning, match="an_op runs on its reference .*: not built; build it"):
        choose("an_op", "auto", obstacles)
    choose("an_op", "auto", obstacles)  # warnings are errors
    choose("other", "auto", {"native": Obstacle("runs on GPUs"), "reference": None})


def test_a_report_says_why_the_better_ones_do_not_run():
    def obstacles(device):
        only_cuda = None if device.type == "cuda" else Obstacle("runs on GPUs")
        return {"native": only_cuda, "reference": None}

    assert report(obstacles) == {
        "cpu": "reference",
        "cuda": "native",
        "reason": "cpu: native: runs on GPUs",
    }
    assert report(lambda _: {"native": None, "reference": None})["reason"] == "first choice"
