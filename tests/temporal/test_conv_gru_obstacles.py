"""What keeps the native ConvGRU from running, and what happens where a kernel fails."""

from __future__ import annotations

import pytest
import torch
from temporal.conv_gru_parity import draw_inputs
from torch import Tensor

from vidgap_temporal.ops import GRUWeights, conv_gru
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
        sequence.forward(gates, x, None, tuple(weights), keep=False)


def test_a_cpu_is_told_to_stay_with_the_reference():
    x, _, *weights = draw_inputs((1, 2, 4, 3, 3), False, torch.float32)
    with pytest.raises(ValueError, match=r"conv_gru\(backend='native'\): runs on GPUs; on a CPU"):
        conv_gru(x, None, GRUWeights(*weights), backend="native")
    assert not obstacles(x.device)["native"].remedy


def test_obstacles_say_what_is_missing_and_keep_the_error(monkeypatch):
    cuda = torch.device("cuda")
    monkeypatch.setattr(cuda_gates, "_native", None)
    monkeypatch.setattr(cuda_gates, "WHY_ABSENT", "undefined symbol: x", raising=False)
    obstacle = obstacles(cuda)["native"]
    assert obstacle.reason == "not built in this installation (undefined symbol: x)"
    assert "VIDGAP_REQUIRE_NATIVE=1" in obstacle.remedy
    assert str(obstacles(cuda, torch.float8_e5m2)["native"]).endswith("not for torch.float8_e5m2")
    assert str(obstacles(torch.device("meta"))["native"]) == "made for cuda, not for meta"


class BuiltExtension(BrokenExtension):
    cuda_architectures = "80-real 90a-real 120-real 90-virtual"


@pytest.mark.parametrize(("capability", "runs"), [((7, 5), False), ((8, 0), True), ((12, 0), True)])
def test_a_gpu_older_than_the_code_takes_the_reference(capability, runs, monkeypatch):
    monkeypatch.setattr(cuda_gates, "_native", BuiltExtension())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    obstacle = obstacles(torch.device("cuda"))["native"]
    assert (obstacle is None) == runs
    assert runs or str(obstacle) == "built for GPUs of sm_80 and later, not for sm_75"


def test_what_can_run_is_asked_without_a_break_when_compiled(monkeypatch):
    monkeypatch.setattr(cuda_gates, "_native", BuiltExtension())

    @torch.compile(fullgraph=True, backend="eager")
    def ask(x: Tensor) -> Tensor:
        return x + (obstacles(torch.device("cuda"))["native"] is None)

    assert ask(torch.zeros(1)).item() == 1
