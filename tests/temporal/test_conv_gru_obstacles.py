"""What keeps the native ConvGRU from running, and what happens where a kernel fails."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from temporal.conv_gru_parity import draw_inputs
from torch import Tensor

from vidgap_temporal.ops import GRUWeights, conv_gru, extension
from vidgap_temporal.ops.conv_gru import cuda_gates, obstacles, sequence


class BrokenExtension:
    """An extension whose kernels all fail."""

    def __getattr__(self, name: str):
        return lambda *_: 700

    def error_message(self, status: int) -> str:
        return f"error {status}"


def test_the_status_of_a_kernel_is_raised():
    gates = cuda_gates.KernelGates(BrokenExtension(), torch.float32, torch.float32, 0)
    x, _, *weights = (
        tensor if tensor is None else tensor.detach()
        for tensor in draw_inputs((1, 1, 4, 3, 3), False, torch.float32)
    )
    with pytest.raises(RuntimeError, match=r"conv_gru: error 700 \(status 700 of blend_forward\)"):
        sequence.forward(gates, x, None, GRUWeights(*weights), keep=False)


def test_a_cpu_is_told_to_stay_with_the_reference():
    x, _, *weights = draw_inputs((1, 2, 4, 3, 3), False, torch.float32)
    with pytest.raises(ValueError, match=r"conv_gru\(backend='native'\): runs on GPUs; on a CPU"):
        conv_gru(x, None, GRUWeights(*weights), backend="native")
    assert not obstacles(x.device)["native"].remedy


def test_obstacles_say_what_is_missing_and_keep_the_error(monkeypatch):
    cuda = torch.device("cuda")
    monkeypatch.setattr(extension, "_native", None)
    monkeypatch.setattr(extension, "WHY_ABSENT", "undefined symbol: x")
    obstacle = obstacles(cuda)["native"]
    assert obstacle.reason == "not built in this installation (undefined symbol: x)"
    assert "VIDGAP_REQUIRE_NATIVE=1" in obstacle.remedy
    assert str(obstacles(cuda, torch.float8_e5m2)["native"]).endswith("not for torch.float8_e5m2")
    assert str(obstacles(torch.device("meta"))["native"]) == "made for cpu and cuda, not for meta"


class Properties(NamedTuple):
    major: int
    minor: int


def obstacle_on(capability, architectures, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: Properties(*capability))
    return extension.obstacle_of_gpu(torch.device("cuda"), architectures)


@pytest.mark.parametrize(
    ("capability", "architectures"),
    [
        ((8, 0), "80-real 90-real 90-virtual"),
        ((8, 9), "80-real"),
        ((9, 0), "90a-real"),
        ((12, 0), "80-real 90-virtual"),
        ((10, 3), "90"),
    ],
)
def test_a_gpu_that_the_code_is_for_is_no_obstacle(capability, architectures, monkeypatch):
    assert obstacle_on(capability, architectures, monkeypatch) is None


@pytest.mark.parametrize(
    ("capability", "architectures"),
    [((7, 5), "80-real 90-virtual"), ((12, 0), "90-real"), ((8, 0), "86-real"), ((9, 0), "100")],
)
def test_a_gpu_that_the_code_is_not_for_takes_the_reference(capability, architectures, monkeypatch):
    obstacle = obstacle_on(capability, architectures, monkeypatch)
    sm = 10 * capability[0] + capability[1]
    assert obstacle.reason == f"built for {architectures}, not for this GPU's sm_{sm}"
    assert f"CMAKE_CUDA_ARCHITECTURES={sm}-real" in obstacle.remedy


class BuiltExtension(BrokenExtension):
    cuda_architectures = "80-real 90a-real 120-real 90-virtual"


def test_what_can_run_is_asked_without_a_break_when_compiled(monkeypatch):
    monkeypatch.setattr(extension, "_native", BuiltExtension())

    @torch.compile(fullgraph=True, backend="eager")
    def ask(x: Tensor) -> Tensor:
        return x + (obstacles(torch.device("cuda"))["native"] is None)

    assert ask(torch.zeros(1)).item() == 1
