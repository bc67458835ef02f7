"""The native ConvGRU: its sequence on a CPU with gates in PyTorch, and all of it on a GPU."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from temporal.conv_gru_parity import (
    CASES,
    DTYPES,
    assert_agrees,
    draw_inputs,
    outputs_and_gradients,
    poisoned_memory,
    relative_error,
)
from temporal.plain_gates import PlainGates, on_cpu
from tolerances import NORM_RATIO, TOLERANCE
from torch import Tensor

from vidgap_temporal.ops import GRUWeights, conv_gru
from vidgap_temporal.ops.conv_gru import native, obstacles, reference

ON_CUDA = obstacles(torch.device("cuda"))["native"] if torch.cuda.is_available() else "no GPU"
needs_cuda = pytest.mark.skipif(ON_CUDA is not None, reason=str(ON_CUDA))


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=needs_cuda)])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    torch.manual_seed(0)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    with on_cpu(lambda *_: PlainGates()):
        yield request.param


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("shape", "given"), CASES, ids=str)
def test_agrees_with_the_definition_in_float64(shape, given, dtype, device):
    with poisoned_memory():
        assert_agrees(native.conv_gru, draw_inputs(shape, given, dtype, device))


@pytest.mark.parametrize("used", [(True, False), (False, True)], ids=["output", "last"])
@pytest.mark.parametrize("given", [False, True], ids=["zero", "given"])
def test_either_output_alone_may_be_used(used, given, device):
    inputs = draw_inputs((2, 3, 8, 4, 3), given, torch.float32, device)
    with poisoned_memory():
        assert_agrees(native.conv_gru, inputs, used)


@pytest.mark.parametrize("number", range(5), ids=["x", "h", "input", "hidden", "bias"])
def test_a_gradient_may_be_wanted_alone(number, device):
    inputs = draw_inputs((2, 3, 4, 3, 5), True, torch.float32, device)
    for index, tensor in enumerate(inputs):
        tensor.requires_grad_(index == number)
    with poisoned_memory():
        assert_agrees(native.conv_gru, inputs)


def test_a_clip_may_be_cut_anywhere(device):
    x, h, *weights = draw_inputs((2, 10, 8, 3, 4), True, torch.float64, device)
    upstream = torch.randn_like(x)

    def halves(x: Tensor, h: Tensor, weights: GRUWeights) -> tuple[Tensor, Tensor]:
        first, carried = native.conv_gru(x[:, :6], h, weights)
        second, last = native.conv_gru(x[:, 6:], carried, weights)
        return torch.cat([first, second], 1), last

    results = [
        outputs_and_gradients(run, [x, h, *weights], [upstream, upstream[:, 0]])
        for run in (native.conv_gru, halves)
    ]
    for one, two in zip(*results, strict=True):
        assert relative_error(one, two) <= NORM_RATIO[torch.float64]


def strided(tensor: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Return equal numbers with `axes` in this order in memory, at every other address."""
    wide = torch.zeros(*(tensor.shape[axis] for axis in axes), 2).to(tensor)
    view = wide[..., 1].permute(*(axes.index(axis) for axis in range(tensor.ndim)))
    return view.copy_(tensor.detach()).requires_grad_()


def test_strides_do_not_matter(device):
    x, h, *weights = draw_inputs((2, 3, 8, 4, 5), True, torch.float32, device)
    for axes in ((0, 1, 2, 3, 4), (1, 0, 3, 4, 2), (4, 3, 2, 1, 0)):
        assert_agrees(native.conv_gru, [strided(x, axes), strided(h, (3, 0, 2, 1)), *weights])


@pytest.mark.parametrize("axes", [(0, 1, 3, 4, 2), (1, 0, 3, 4, 2), (0, 1, 2, 3, 4)], ids=str)
def test_gradients_may_come_in_any_strides(axes, device):
    inputs = draw_inputs((2, 3, 8, 4, 5), True, torch.float64, device)
    dense = torch.randn(2, 3, 8, 4, 5, dtype=torch.float64, device=device)
    expected = outputs_and_gradients(reference.conv_gru, inputs, [dense, dense[:, 0]])
    grads = [strided(dense, axes).detach(), strided(dense[:, 0], (3, 2, 1, 0)).detach()]
    actual = outputs_and_gradients(native.conv_gru, inputs, grads)
    for one, two in zip(actual, expected, strict=True):
        assert relative_error(one, two) <= NORM_RATIO[torch.float64]


def test_a_gradient_may_be_one_number_for_all(device):
    inputs = draw_inputs((2, 3, 8, 4, 5), False, torch.float64, device)
    ones = torch.ones((), dtype=torch.float64, device=device).expand(2, 3, 8, 4, 5)
    expected = outputs_and_gradients(reference.conv_gru, inputs, [ones, None])
    actual = outputs_and_gradients(native.conv_gru, inputs, [ones, None])
    for one, two in zip(actual, expected, strict=True):
        assert relative_error(one, two) <= NORM_RATIO[torch.float64]


@pytest.mark.parametrize("given", [False, True], ids=["zero", "given"])
def test_a_batch_of_nothing_gives_nothing(given, device):
    x, h, *weights = inputs = draw_inputs((0, 3, 8, 4, 5), given, torch.float32, device)
    outputs, last = native.conv_gru(x, h, GRUWeights(*weights))
    assert outputs.shape == (0, 3, 8, 4, 5)
    assert last.shape == (0, 8, 4, 5)
    (outputs.sum() + last.sum()).backward()
    for tensor in inputs:
        assert tensor is None or (tensor.grad.shape == tensor.shape and not tensor.grad.any())


def test_outputs_have_their_channels_last(device):
    x, h, *weights = draw_inputs((2, 3, 8, 4, 5), True, torch.float32, device)
    outputs, last = native.conv_gru(x, h, GRUWeights(*weights))
    assert outputs.permute(0, 1, 3, 4, 2).is_contiguous()
    assert last.permute(0, 2, 3, 1).is_contiguous()
    assert torch.equal(outputs[:, -1], last)
    assert outputs.untyped_storage().data_ptr() != last.untyped_storage().data_ptr()


@pytest.mark.parametrize("low", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_autocast_convolves_in_its_dtype_and_keeps_that_of_the_frames(dtype, low, device):
    inputs = draw_inputs((2, 4, 8, 5, 4), True, dtype, device)
    worst = max(low, dtype, key=lambda kind: NORM_RATIO[kind])

    def run(x: Tensor, h: Tensor, weights: GRUWeights) -> tuple[Tensor, Tensor]:
        with torch.autocast(device, dtype=low):
            return native.conv_gru(x, h, weights)

    grads = [torch.randn_like(inputs[0]), torch.randn_like(inputs[1])]
    actual = outputs_and_gradients(run, inputs, grads)
    exact = [i.detach().double().requires_grad_() for i in inputs]
    expected = outputs_and_gradients(reference.conv_gru, exact, [g.double() for g in grads])
    for one, two in zip(actual, expected, strict=True):
        assert one.dtype == dtype
        assert relative_error(one, two) <= NORM_RATIO[worst]
    if dtype == torch.float32:  # whose convolutions were rounded, and whose states were not
        x, h, *weights = inputs
        outputs, single = actual[0], native.conv_gru(x, h, GRUWeights(*weights))[0]
        assert relative_error(outputs, expected[0]) > 10 * relative_error(single, expected[0])
        assert not torch.equal(outputs, outputs.to(low).to(dtype))


@pytest.mark.parametrize("given", [False, True], ids=["zero", "given"])
def test_gradients_agree_with_differences(given, device):
    inputs = draw_inputs((2, 3, 2, 3, 2), given, torch.float64, device)

    def run(x: Tensor, h: Tensor | None, *weights: Tensor) -> tuple[Tensor, Tensor]:
        return native.conv_gru(x, h, GRUWeights(*weights))

    assert torch.autograd.gradcheck(run, inputs, nondet_tol=1e-12)  # cuDNN may add in any order


# What opcheck itself does to copies of the inputs, and hides from the screen alone.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
@pytest.mark.parametrize(("shape", "given"), [((2, 3, 4, 3, 5), True), ((1, 1, 8, 4, 4), False)])
def test_the_operators_are_what_torch_expects(shape, given, device):
    inputs = draw_inputs(shape, given, torch.float32, device)
    ops = torch.ops.vidgap_temporal
    torch.library.opcheck(ops.conv_gru.default, (*inputs, True))
    with torch.no_grad():
        outputs, last, *kept = ops.conv_gru(*inputs, True)
    fixed = [None if i is None else i.detach() for i in inputs]
    grads = (torch.randn_like(outputs), torch.randn_like(last))
    wanted = [True, given, False, True, True]
    torch.library.opcheck(ops.conv_gru_backward.default, (*grads, *fixed, outputs, *kept, wanted))


def test_compiles_without_a_break(device):
    inputs = draw_inputs((2, 3, 4, 3, 5), True, torch.float32, device)
    grads = [torch.randn_like(inputs[0]), torch.randn_like(inputs[1])]
    compiled = torch.compile(native.conv_gru, fullgraph=True, backend="aot_eager")
    expected = outputs_and_gradients(native.conv_gru, inputs, grads)
    for one, two in zip(outputs_and_gradients(compiled, inputs, grads), expected, strict=True):
        torch.testing.assert_close(one, two, **TOLERANCE[torch.float32])


def test_the_op_compiles_without_a_break_on_its_reference():
    torch.manual_seed(0)
    x, h, *weights = draw_inputs((1, 2, 4, 3, 5), True, torch.float32)
    compiled = torch.compile(conv_gru, fullgraph=True, backend="aot_eager")
    arguments = (x, h, GRUWeights(*weights))
    actual, expected = compiled(*arguments), reference.conv_gru(*arguments)
    torch.testing.assert_close(actual, expected, **TOLERANCE[torch.float32])
