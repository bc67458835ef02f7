"""The Triton kernels of window attention on a CPU, one number after the other.

Triton reads TRITON_INTERPRET=1 once, when it is imported: `test_window_attention_triton.py` runs
this file in a process of its own. The interpreter knows neither bfloat16 nor threads.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from temporal.test_window_attention import make_inputs, options
from temporal.window_attention_parity import (
    ALL_CASES,
    MORE_CASES,
    assert_agrees,
    outputs_and_gradients,
)
from tolerances import TOLERANCE
from torch import Tensor

from vidgap_temporal.ops import window_attention
from vidgap_temporal.ops.window_attention import addressing, launch

DTYPES = [torch.float32, torch.float16]
SHAPE, SETTINGS = (1, 2, 5, 6, 8), options(2, 4, 2, (1, 0))


def draw(dtype: torch.dtype = torch.float32) -> tuple[list[Tensor], Tensor]:
    inputs = [x.requires_grad_() for x in make_inputs(SHAPE, 2, 4, dtype)]
    return inputs, torch.randn(SHAPE).to(dtype)


@pytest.mark.parametrize("case", ALL_CASES, ids=str)
def test_agrees_with_float64(case):
    assert_agrees(case, torch.float32)


@pytest.mark.parametrize("case", MORE_CASES, ids=str)
def test_half_precision_agrees_with_float64(case):
    assert_agrees(case, torch.float16)


@settings(max_examples=6, deadline=None)
@given(st.data())
def test_agrees_whatever_the_sizes(data):
    window = data.draw(st.integers(1, 9))
    heads = data.draw(st.integers(1, 3))
    batch, frames = data.draw(st.integers(1, 2)), data.draw(st.integers(1, 3))
    size = data.draw(st.tuples(st.integers(1, 11), st.integers(1, 11)))
    channels = heads * data.draw(st.integers(1, 20))
    partner = data.draw(st.none() | st.permutations(range(frames)).map(tuple))
    shift = data.draw(st.integers(0, window - 1))
    case = ((batch, frames, *size, channels), heads, window, shift, partner)
    assert_agrees(case, data.draw(st.sampled_from(DTYPES)))


@settings(max_examples=15, deadline=None)
@given(st.data(), st.integers(1, 11), st.integers(1, 11), st.integers(1, 5))
def test_padded_keys_are_never_attended(data, height, width, window):
    shift = data.draw(st.integers(0, window - 1))
    q, k, _, bias = make_inputs((1, 1, height, width, 2), 1, window, torch.float32)
    ones = torch.ones_like(q)  # a padded value is 0 and would show
    out = window_attention(q, k, ones, bias, **options(1, window, shift), backend="triton")
    torch.testing.assert_close(out, ones, **TOLERANCE[torch.float32])


def slices_of_one(maps: list[Tensor]) -> list[Tensor]:
    return list(torch.cat(maps, dim=-1).chunk(3, dim=-1))


def rows_before_frames(maps: list[Tensor]) -> list[Tensor]:
    return [x.transpose(1, 2).contiguous().transpose(1, 2) for x in maps]


def channels_before_tokens(maps: list[Tensor]) -> list[Tensor]:
    return [x.movedim(-1, 2).contiguous().movedim(2, -1) for x in maps]


def columns_before_rows(maps: list[Tensor]) -> list[Tensor]:
    return [x.transpose(2, 3).contiguous().transpose(2, 3) for x in maps]


def within_poison(maps: list[Tensor]) -> list[Tensor]:
    def put(x: Tensor) -> Tensor:
        batch, frames, height, width, channels = x.shape
        room = x.new_full((batch, frames + 1, height + 3, width + 2, channels + 1), torch.nan)
        room[:, :frames, 1 : height + 1, 1 : width + 1, :channels] = x
        return room[:, :frames, 1 : height + 1, 1 : width + 1, :channels]

    return [put(x) for x in maps]


LAYOUTS = [
    slices_of_one,
    rows_before_frames,
    channels_before_tokens,
    columns_before_rows,
    within_poison,
]


@pytest.mark.parametrize("lay", LAYOUTS, ids=lambda lay: lay.__name__)
def test_strides_do_not_matter(lay):
    (*maps, bias), grad = draw()
    expected = outputs_and_gradients([*maps, bias], grad, SETTINGS, "triton")
    strided = [x.requires_grad_() for x in lay([x.detach() for x in maps])]
    assert not any(x.is_contiguous() for x in strided)
    [poisoned_grad] = within_poison([grad])
    actual = outputs_and_gradients([*strided, bias], poisoned_grad, SETTINGS, "triton")
    torch.testing.assert_close(actual, expected, rtol=0, atol=0)
    assert all(x.is_contiguous() for x in actual[:1])


def test_a_frame_may_be_repeated_by_strides():
    q, _, _, bias = make_inputs((1, 1, 4, 5, 4), 2, 4, torch.float32)
    many = q.expand(1, 2, -1, -1, -1)
    one = window_attention(q, q, q, bias, **options(2, 4, 2), backend="triton")
    out = window_attention(many, many, many, bias, **SETTINGS, backend="triton")
    torch.testing.assert_close(out, one.expand_as(many), rtol=0, atol=0)


def test_results_have_the_same_bits_every_time():
    inputs, grad = draw(torch.float16)
    first = outputs_and_gradients(inputs, grad, SETTINGS, "triton")
    again = outputs_and_gradients(inputs, grad, SETTINGS, "triton")
    torch.testing.assert_close(again, first, rtol=0, atol=0)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 70).flatmap(lambda count: st.permutations(range(count))))
def test_partners_are_packed_in_words_of_one_kind(partner):
    words = launch.pack(tuple(partner))
    mask = addressing.LOWEST.value
    unpacked = [words[t // 4] >> (1 + 15 * (t % 4)) & mask for t in range(len(partner))]
    assert unpacked == list(partner)
    # What Triton would compile anew for: fewer bits than 32, the number 1, 16 as a divisor.
    assert all(2**62 < word < 2**63 and word % 16 for word in words)
    assert len(words).bit_count() == 1


# What opcheck itself does to copies of the inputs, and hides from the screen alone.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
def test_the_operators_are_what_torch_expects():
    inputs, grad = draw()
    arguments = (2, 4, 2, [1, 0])
    operators = torch.ops.vidgap_temporal
    torch.library.opcheck(operators.window_attention.default, (*inputs, *arguments))
    tensors = [x.detach() for x in (grad, *inputs)]
    torch.library.opcheck(operators.window_attention_backward.default, (*tensors, *arguments, True))


@pytest.mark.parametrize("dynamic", [False, True])
def test_torch_compile_traces_forward_and_backward_whole(dynamic):
    def step(qkv: Tensor, bias: Tensor) -> Tensor:
        out = window_attention(*qkv.chunk(3, dim=-1), bias, **SETTINGS, backend="triton")
        return out.square().sum()

    compiled = torch.compile(step, backend="aot_eager", fullgraph=True, dynamic=dynamic)
    for size in (5, 7):
        inputs = [torch.randn(1, 2, size, 4, 24), torch.randn(2, 49)]
        inputs = [x.requires_grad_() for x in inputs]
        have = torch.autograd.grad(compiled(*inputs), inputs)
        want = torch.autograd.grad(step(*inputs), inputs)
        torch.testing.assert_close(have, want, **TOLERANCE[torch.float32])


@pytest.mark.parametrize("wanted", [(0,), (3,), (1, 2)], ids=str)
def test_gradients_that_nobody_wants_are_left_out(wanted):
    inputs, grad = draw()
    everything = outputs_and_gradients(inputs, grad, SETTINGS, "triton")[1:]
    some = [x.detach().requires_grad_(i in wanted) for i, x in enumerate(inputs)]
    window_attention(*some, **SETTINGS, backend="triton").backward(grad)
    for index, (x, expected) in enumerate(zip(some, everything, strict=True)):
        assert (x.grad is not None) == (index in wanted)
        assert x.grad is None or torch.equal(x.grad, expected)


def test_a_batch_of_nothing_gives_nothing():
    inputs = [x.requires_grad_() for x in make_inputs((0, *SHAPE[1:]), 2, 4, torch.float32)]
    out = window_attention(*inputs, **SETTINGS, backend="triton")
    assert out.shape == inputs[0].shape
    grads = torch.autograd.grad(out.sum(), inputs)
    assert [x.shape for x in grads] == [x.shape for x in inputs]
    assert not grads[3].any()


def test_autocast_takes_other_dtypes_and_gives_back_theirs():
    inputs, grad = draw()
    expected = outputs_and_gradients(inputs, grad, SETTINGS, "reference")
    dtypes = (torch.float16, torch.float32, torch.float16, torch.float32)
    mixed = [x.detach().to(d).requires_grad_() for x, d in zip(inputs, dtypes, strict=True)]
    with torch.autocast("cpu", dtype=torch.float16):
        out = window_attention(*mixed, **SETTINGS, backend="triton")
    grads = torch.autograd.grad(out, mixed, grad.half())
    assert out.dtype == torch.float16
    assert [x.dtype for x in grads] == list(dtypes)
    actual = [x.float() for x in (out.detach(), *grads)]
    torch.testing.assert_close(actual, expected, **TOLERANCE[torch.float16])


def test_the_interpreter_is_for_those_who_ask(monkeypatch):
    inputs, _ = draw()
    monkeypatch.setattr(launch, "forward", None)
    window_attention(*inputs, **SETTINGS)
    with pytest.raises(TypeError):
        window_attention(*inputs, **SETTINGS, backend="triton")


@pytest.mark.parametrize(
    ("dtype", "message"),
    [
        (torch.float64, "made for float32, float16 and bfloat16, not for torch.float64"),
        (torch.bfloat16, "interpreter takes the bits of bfloat16 for integers"),
    ],
    ids=str,
)
def test_other_dtypes_are_refused(dtype, message):
    inputs = make_inputs(SHAPE, 2, 4, dtype)
    with pytest.raises(ValueError, match=message):
        window_attention(*inputs, **SETTINGS, backend="triton")
