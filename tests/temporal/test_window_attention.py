"""The op `window_attention`: its definition, gradients, dtypes, layouts and error messages."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from temporal.oracles import window_attention_loops
from tolerances import TOLERANCE
from torch import Tensor

from vidgap_temporal.ops import window_attention


def make_inputs(
    shape: tuple[int, ...], num_heads: int, window: int, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = (shape, shape, shape, (num_heads, (2 * window - 1) ** 2))
    q, k, v, bias = (
        torch.randn(s, generator=generator, dtype=torch.float64).to(dtype) for s in shapes
    )
    return q, k, v, bias


def options(num_heads: int, window: int, shift: int, partner=None) -> dict:
    return {"num_heads": num_heads, "window_size": window, "shift": shift, "partner": partner}


# (B, T, H, W, C), heads, window, shift, partner: maps that divide, that do not, smaller than the
# window on one side or both, one token, and shifts that reach beyond a small map.
CASES = [
    ((1, 1, 1, 1, 2), 1, 3, 0, None),
    ((1, 1, 1, 1, 2), 2, 4, 2, (0,)),
    ((1, 2, 4, 8, 4), 2, 4, 0, None),
    ((1, 2, 4, 8, 4), 2, 4, 2, (1, 0)),
    ((2, 3, 5, 7, 2), 1, 4, 2, (2, 0, 1)),
    ((1, 1, 9, 4, 2), 2, 4, 1, None),
    ((1, 3, 2, 6, 2), 1, 4, 3, (2, 0, 1)),
    ((1, 2, 3, 3, 2), 1, 4, 2, (1, 0)),
    ((1, 1, 3, 2, 2), 1, 8, 4, None),
    ((1, 1, 6, 8, 2), 1, 8, 4, None),
    ((1, 1, 3, 7, 2), 1, 3, 1, None),
    ((1, 1, 3, 2, 2), 2, 1, 0, None),
]


@pytest.mark.parametrize("needs_gradient", [False, True], ids=["infer", "train"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_loops(case, needs_gradient):
    shape, *settings_of_case = case
    q, k, v, bias = make_inputs(shape, *settings_of_case[:2])
    expected = window_attention_loops(q, k, v, bias, *settings_of_case)
    bias.requires_grad_(needs_gradient)
    actual = window_attention(q, k, v, bias, **options(*settings_of_case))
    torch.testing.assert_close(actual.detach(), expected, **TOLERANCE[torch.float64])


@pytest.mark.parametrize("case", [CASES[4], CASES[6], CASES[7]], ids=str)
def test_gradients_agree_with_differences(case):
    shape, *settings_of_case = case
    shape = (1, *shape[1:])
    inputs = [x.requires_grad_() for x in make_inputs(shape, *settings_of_case[:2])]
    assert torch.autograd.gradcheck(
        lambda *x: window_attention(*x, **options(*settings_of_case)), inputs, fast_mode=True
    )


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 11),
    width=st.integers(1, 11),
    window=st.integers(1, 5),
    needs_gradient=st.booleans(),
    data=st.data(),
)
def test_padded_keys_are_never_attended(height, width, window, needs_gradient, data):
    shift = data.draw(st.integers(0, window - 1))
    q, k, _, bias = make_inputs((1, 2, height, width, 2), 1, window)
    ones = torch.ones_like(q)  # a padded value is 0 and would show
    bias.requires_grad_(needs_gradient)
    out = window_attention(q, k, ones, bias, **options(1, window, shift))
    torch.testing.assert_close(out.detach(), ones, **TOLERANCE[torch.float64])


@pytest.mark.parametrize("shift", [0, 2])
def test_poison_in_the_padding_does_not_spread(shift, monkeypatch):
    inputs = [x.requires_grad_() for x in make_inputs((1, 2, 5, 9, 4), 2, 4)]
    clean = window_attention(*inputs, **options(2, 4, shift))
    expected = torch.autograd.grad(clean.sum(), inputs)
    pad = torch.nn.functional.pad
    monkeypatch.setattr(torch.nn.functional, "pad", lambda x, sides: pad(x, sides, value=1e5))
    poisoned = window_attention(*inputs, **options(2, 4, shift))
    torch.testing.assert_close(poisoned, clean, rtol=0, atol=0)
    actual = torch.autograd.grad(poisoned.sum(), inputs)
    torch.testing.assert_close(actual, expected, rtol=0, atol=0)


@settings(max_examples=20, deadline=None)
@given(data=st.data(), num_frames=st.integers(1, 5))
def test_a_partner_gives_keys_and_values(data, num_frames):
    partner = tuple(data.draw(st.permutations(range(num_frames))))
    q, k, v, bias = make_inputs((2, num_frames, 3, 5, 4), 2, 3)
    actual = window_attention(q, k, v, bias, **options(2, 3, 1, partner))
    index = list(partner)
    expected = window_attention(q, k[:, index], v[:, index], bias, **options(2, 3, 1))
    torch.testing.assert_close(actual, expected, rtol=0, atol=0)


@pytest.mark.parametrize("needs_gradient", [False, True], ids=["infer", "train"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_lower_precision_agrees_with_float64(dtype, needs_gradient):
    inputs = make_inputs((1, 3, 6, 5, 8), 2, 4, dtype)
    expected = window_attention(*(x.double() for x in inputs), **options(2, 4, 2, (2, 0, 1)))
    for x in inputs:
        x.requires_grad_(needs_gradient)
    actual = window_attention(*inputs, **options(2, 4, 2, (2, 0, 1)))
    assert actual.dtype == dtype
    torch.testing.assert_close(actual.detach().double(), expected, **TOLERANCE[dtype])
    if needs_gradient:
        actual.sum().backward()
        assert all(x.grad is not None and x.grad.isfinite().all() for x in inputs)


def test_strides_do_not_matter():
    q, k, v, bias = make_inputs((2, 3, 5, 6, 4), 2, 4)
    expected = window_attention(q, k, v, bias, **options(2, 4, 2, (2, 0, 1)))
    joined = torch.cat([q, k, v], dim=-1).transpose(1, 2).contiguous().transpose(1, 2)
    strided = joined.chunk(3, dim=-1)
    assert not strided[0].is_contiguous()
    actual = window_attention(*strided, bias, **options(2, 4, 2, (2, 0, 1)))
    torch.testing.assert_close(actual, expected, rtol=0, atol=0)


@pytest.mark.parametrize(("size", "shift"), [(4, 0), (5, 2)])
def test_a_batch_of_nothing_gives_nothing(size, shift):
    inputs = [x.requires_grad_() for x in make_inputs((0, 3, size, size, 4), 2, 4)]
    out = window_attention(*inputs, **options(2, 4, shift, (2, 0, 1)))
    assert out.shape == (0, 3, size, size, 4)
    out.sum().backward()
    assert all(x.grad is not None for x in inputs)
    with torch.no_grad():
        assert window_attention(*inputs, **options(2, 4, shift)).shape == (0, 3, size, size, 4)


def test_autocast_takes_a_float32_table():
    q, k, v, bias = make_inputs((1, 2, 5, 4, 8), 2, 4, torch.float32)
    expected = window_attention(q, k, v, bias, **options(2, 4, 2))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = window_attention(
            q.bfloat16(), k.bfloat16(), v.bfloat16(), bias, **options(2, 4, 2)
        )
        kept = window_attention(q, k, v, bias, **options(2, 4, 2))
    assert (actual.dtype, kept.dtype) == (torch.bfloat16, torch.float32)
    for out in (actual.float(), kept):
        torch.testing.assert_close(out, expected, **TOLERANCE[torch.bfloat16])


Q, _, _, BIAS = make_inputs((2, 3, 5, 6, 8), 2, 4, torch.float32)
GOOD = {"q": Q, "k": Q, "v": Q, "bias": BIAS, **options(2, 4, 2)}
MISTAKES = {
    r"q must be \(B, T, H, W, C\) with T, H, W, C >= 1, got shape \(3, 5, 6, 8\)": {"q": Q[0]},
    r"q must be .* got shape \(2, 3, 0, 6, 8\)": {"q": Q[:, :, :0]},
    r"q must be of a floating dtype, got .* int64": {"q": Q.long()},
    r"k must be \(2, 3, 5, 6, 8\) to match q, got shape \(2, 2, 5, 6, 8\)": {"k": Q[:, :2]},
    r"v must be \(2, 3, 5, 6, 8\) to match q, got shape \(2, 3, 5, 6, 4\)": {"v": Q[..., :4]},
    r"v must be float32 like q, got .* float64": {"v": Q.double()},
    r"k must be on cpu like q, got a tensor on meta": {"k": Q.to("meta")},
    r"num_heads must divide the 8 channels of q, got 3": {"num_heads": 3},
    r"num_heads must divide the 8 channels of q, got 0": {"num_heads": 0},
    r"window_size must be at least 1, got 0": {"window_size": 0},
    r"shift must be in 0\.\.3 \(window_size - 1\), got 4": {"shift": 4},
    r"shift must be in 0\.\.3 \(window_size - 1\), got -1": {"shift": -1},
    r"bias must be \(2, 49\) for 2 heads and windows of 4, got shape \(49, 2\)": {"bias": BIAS.T},
    r"bias must be float32 like q, got .* bfloat16": {"bias": BIAS.bfloat16()},
    r"partner must be a permutation of 0\.\.2, got \(0, 0, 1\)": {"partner": (0, 0, 1)},
    r"partner must be a permutation of 0\.\.2, got \(0, 1\)": {"partner": [0, 1]},
}


@pytest.mark.parametrize(("message", "change"), MISTAKES.items(), ids=range(len(MISTAKES)))
def test_mistakes_are_named(message, change):
    with pytest.raises(ValueError, match=message):
        window_attention(**{**GOOD, **change})
