"""What the native ConvGRU does not do: keep, convolve and launch more than it must."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from temporal.conv_gru_parity import draw_inputs
from temporal.plain_gates import PlainGates, on_cpu
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from vidgap_temporal.ops import GRUWeights
from vidgap_temporal.ops.conv_gru import native, sequence


@pytest.fixture(autouse=True)
def plain_gates():
    with on_cpu(lambda *_: PlainGates()):
        yield


def test_the_backward_pass_is_given_the_states_and_three_gates_and_no_more():
    inputs = draw_inputs((2, 3, 8, 4, 5), False, torch.float32)
    weights = [
        weight.detach().contiguous(memory_format=torch.channels_last) for weight in inputs[2:4]
    ]
    inputs[2:4] = [weight.requires_grad_() for weight in weights]
    saved: list[Tensor] = []
    hooks = torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t)
    with hooks:
        native.conv_gru(*inputs[:2], GRUWeights(*inputs[2:]))
    size = inputs[0].numel()
    given = {tensor.data_ptr() for tensor in inputs if tensor is not None}
    added = [tensor.numel() for tensor in saved if tensor.data_ptr() not in given]
    assert sorted(added) == [size * 2 // 3, size, size, size]  # r of the first frame has no use


def test_nothing_is_kept_where_no_gradient_can_come():
    inputs = draw_inputs((2, 3, 8, 4, 5), True, torch.float32)
    kept: list[int] = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            results = func(*args, **(kwargs or {}))
            if func is torch.ops.vidgap_temporal.conv_gru.default:
                kept.extend(tensor.numel() for tensor in results[2:])
            return results

    with Watch(), torch.no_grad():
        native.conv_gru(*inputs[:2], GRUWeights(*inputs[2:]))
    x, h, *weights = (tensor.detach() for tensor in inputs)
    with Watch():
        native.conv_gru(x, h, GRUWeights(*weights))
    assert kept == [0] * 6


class CountingGates(PlainGates):
    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def __getattribute__(self, name: str):
        if name in ("reset", "blend", "blend_backward", "reset_backward"):
            self.calls[name] += 1
        return super().__getattribute__(name)


class CountConvolutions(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if "convolution" in func.__name__:
            self.calls[func.__name__.split(".")[0]] += 1
            maps = [arg for arg in args if isinstance(arg, Tensor) and arg.shape[2:] == (3, 4)]
            # Else the library would copy them first.
            assert all(m.is_contiguous(memory_format=torch.channels_last) for m in maps)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("batch", [1, 2])
def test_a_step_is_two_convolutions_and_two_kernels_and_all_else_is_done_once(batch):
    x, h, *weights = (
        tensor.detach() for tensor in draw_inputs((batch, 5, 4, 3, 4), True, torch.float32)
    )
    gates = CountingGates()
    with CountConvolutions() as forward:
        kept, _ = sequence.forward(gates, x, h, GRUWeights(*weights), keep=True)
    assert forward.calls == {"convolution": 1 + 2 * 5}
    assert gates.calls == {"reset": 5, "blend": 5}
    wanted = sequence.Wanted(*[True] * 5)
    with CountConvolutions() as backward:
        sequence.backward(
            gates, sequence.StateGradients(x, h), x, h, GRUWeights(*weights), kept, wanted
        )
    assert backward.calls == {"convolution": 2 * 5, "convolution_backward": 4}
    assert gates.calls == {"reset": 5, "blend": 5, "blend_backward": 5, "reset_backward": 5}


def test_gradients_that_nobody_wants_cost_no_convolution():
    x, h, *weights = (
        tensor.detach() for tensor in draw_inputs((2, 5, 4, 3, 4), True, torch.float32)
    )
    kept, _ = sequence.forward(PlainGates(), x, h, GRUWeights(*weights), keep=True)
    for wanted, convolutions in (
        ("x", {"convolution": 9, "convolution_backward": 2}),
        ("h", {"convolution": 10}),
        ("hidden", {"convolution": 9, "convolution_backward": 2}),
    ):
        flags = sequence.Wanted(*(name == wanted for name in sequence.Wanted._fields))
        with CountConvolutions() as backward:
            sequence.backward(
                PlainGates(), sequence.StateGradients(x, h), x, h, GRUWeights(*weights), kept, flags
            )
        assert backward.calls == convolutions, wanted
