"""The native ConvGRU where only a GPU can tell: streams, graphs, bits, and waiting."""

from __future__ import annotations

import functools

import pytest
import torch
from temporal.conv_gru_parity import draw_inputs, outputs_and_gradients
from torch import Tensor

from vidgap_temporal.ops import GRUWeights, conv_gru
from vidgap_temporal.ops.conv_gru import obstacles, reference

ON_CUDA = obstacles(torch.device("cuda"))["native"] if torch.cuda.is_available() else "no GPU"
pytestmark = pytest.mark.skipif(ON_CUDA is not None, reason=str(ON_CUDA))


run = functools.partial(conv_gru, backend="native")


def draw(dtype: torch.dtype = torch.bfloat16) -> tuple[list[Tensor | None], list[Tensor]]:
    torch.manual_seed(0)
    inputs = draw_inputs((2, 5, 64, 12, 20), True, dtype, "cuda")
    return inputs, [torch.randn_like(inputs[0]), torch.randn_like(inputs[1])]


def test_auto_takes_it(monkeypatch):
    def refuse(*_: object) -> None:
        raise AssertionError("the reference was called")

    monkeypatch.setattr(reference, "conv_gru", refuse)
    x, h, *weights = draw()[0]
    conv_gru(x, h, GRUWeights(*weights))


def test_results_have_the_same_bits_every_time(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    inputs, grads = draw()
    first = outputs_and_gradients(run, inputs, grads)
    for _ in range(3):
        again = outputs_and_gradients(run, inputs, grads)
        assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))


def test_nothing_waits_for_the_device():
    inputs, grads = draw()
    outputs_and_gradients(run, inputs, grads)  # what happens once may wait
    torch.cuda.synchronize()
    try:
        torch.cuda.set_sync_debug_mode("error")
        outputs_and_gradients(run, inputs, grads)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_runs_on_the_current_stream(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    inputs, grads = draw(torch.float32)
    expected = outputs_and_gradients(run, inputs, grads)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        torch.cuda._sleep(10_000_000)  # what ran on another stream would come first and see old x
        moved = [tensor.detach().mul(2).requires_grad_() for tensor in inputs]
        doubled = outputs_and_gradients(run, moved, grads)
    torch.cuda.current_stream().wait_stream(side)
    halves = [tensor.detach().mul(2).requires_grad_() for tensor in inputs]
    for one, two in zip(doubled, outputs_and_gradients(run, halves, grads), strict=True):
        torch.testing.assert_close(one, two)
    assert not torch.equal(doubled[0], expected[0])


def test_a_graph_replays_it(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    inputs, grads = draw()
    outputs_and_gradients(run, inputs, grads)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = outputs_and_gradients(run, inputs, grads)
    with torch.no_grad():
        inputs[0].mul_(0.5)
    graph.replay()
    for one, two in zip(captured, outputs_and_gradients(run, inputs, grads), strict=True):
        torch.testing.assert_close(one, two)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one GPU")
def test_runs_on_another_than_the_current_device():
    inputs, grads = draw(torch.float32)
    moved = [tensor.detach().to("cuda:1").requires_grad_() for tensor in inputs]
    actual = outputs_and_gradients(run, moved, [grad.to("cuda:1") for grad in grads])
    for one, two in zip(actual, outputs_and_gradients(run, inputs, grads), strict=True):
        assert one.device.index == 1
        torch.testing.assert_close(one.cpu(), two.cpu())
