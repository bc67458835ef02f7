"""The op `conv_gru`: its definition, gradients, dtypes, layouts and error messages."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from temporal.oracles import conv_gru_loops
from tolerances import TOLERANCE
from torch import Tensor

from vidgap_temporal.ops import GRUWeights, conv_gru


def make_weights(channels: int, dtype: torch.dtype = torch.float64) -> GRUWeights:
    generator = torch.Generator().manual_seed(1)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).mul(0.3).to(dtype)

    return GRUWeights(
        draw(3 * channels, channels, 3, 3), draw(3 * channels, channels, 3, 3), draw(3 * channels)
    )


def make_frames(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


SHAPES = [(1, 1, 1, 1, 1), (1, 1, 2, 3, 4), (2, 3, 2, 4, 3), (1, 5, 3, 1, 6), (2, 2, 1, 2, 2)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("given_state", [False, True], ids=["zero", "given"])
def test_agrees_with_loops(shape, given_state):
    x = make_frames(*shape)
    h = make_frames(shape[0], *shape[2:], seed=2) if given_state else None
    weights = make_weights(shape[2])
    outputs, last = conv_gru(x, h, weights)
    expected, expected_last = conv_gru_loops(x, h, *weights)
    torch.testing.assert_close(outputs, expected, **TOLERANCE[torch.float64])
    torch.testing.assert_close(last, expected_last, **TOLERANCE[torch.float64])


@pytest.mark.parametrize("shape", [(2, 3, 2, 3, 4), (1, 1, 2, 2, 3)], ids=str)
@pytest.mark.parametrize("given_state", [False, True], ids=["zero", "given"])
def test_gradients_agree_with_differences(shape, given_state):
    x = make_frames(*shape).requires_grad_()
    weights = [weight.requires_grad_() for weight in make_weights(shape[2])]
    states = [make_frames(shape[0], *shape[2:], seed=2).requires_grad_()] if given_state else []

    def run(x: Tensor, *others: Tensor) -> tuple[Tensor, Tensor]:
        return conv_gru(x, others[3] if given_state else None, GRUWeights(*others[:3]))

    assert torch.autograd.gradcheck(run, (x, *weights, *states))


def test_no_state_means_zeros():
    x, weights = make_frames(2, 3, 2, 5, 4), make_weights(2)
    for left, right in zip(
        conv_gru(x, None, weights),
        conv_gru(x, torch.zeros(2, 2, 5, 4).double(), weights),
        strict=True,
    ):
        torch.testing.assert_close(left, right, **TOLERANCE[torch.float64])


@pytest.mark.parametrize("num_frames", [1, 3])
def test_every_weight_gets_a_gradient_even_from_one_frame(num_frames):
    weights = GRUWeights(*(weight.requires_grad_() for weight in make_weights(2)))
    conv_gru(make_frames(1, num_frames, 2, 3, 3), None, weights)[0].sum().backward()
    assert all(weight.grad is not None for weight in weights)


@settings(max_examples=20, deadline=None)
@given(num_frames=st.integers(2, 5), data=st.data())
def test_a_clip_may_be_cut_anywhere(num_frames, data):
    cut = data.draw(st.integers(1, num_frames - 1))
    x, weights = make_frames(1, num_frames, 2, 3, 5), make_weights(2)
    whole, last = conv_gru(x, None, weights)
    first, carried = conv_gru(x[:, :cut], None, weights)
    second, carried = conv_gru(x[:, cut:], carried, weights)
    torch.testing.assert_close(torch.cat([first, second], 1), whole, **TOLERANCE[torch.float64])
    torch.testing.assert_close(carried, last, **TOLERANCE[torch.float64])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("given_state", [False, True], ids=["zero", "given"])
def test_lower_precision_agrees_with_float64(dtype, given_state):
    x, weights = make_frames(2, 3, 4, 5, 3, dtype=dtype), make_weights(4, dtype)
    h = make_frames(2, 4, 5, 3, dtype=dtype, seed=2) if given_state else None
    outputs, last = conv_gru(x, h, weights)
    expected, _ = conv_gru(
        x.double(), None if h is None else h.double(), GRUWeights(*(w.double() for w in weights))
    )
    assert outputs.dtype == last.dtype == dtype
    torch.testing.assert_close(outputs.double(), expected, **TOLERANCE[dtype])


def test_strides_do_not_matter():
    x, weights = make_frames(2, 3, 2, 4, 5), make_weights(2)
    expected, _ = conv_gru(x, None, weights)
    wider = make_frames(2, 3, 4, 5, 6)
    wider[..., 3:5] = x.permute(0, 1, 3, 4, 2)
    slice_of_channels_last = wider[..., 3:5].permute(0, 1, 4, 2, 3)
    time_first = x.transpose(0, 1).contiguous().transpose(0, 1)
    for strided in (slice_of_channels_last, time_first):
        assert not strided.is_contiguous()
        actual, _ = conv_gru(strided, None, weights)
        torch.testing.assert_close(actual, expected, **TOLERANCE[torch.float64])


def test_a_batch_of_nothing_gives_nothing():
    x = make_frames(0, 3, 2, 4, 5).requires_grad_()
    outputs, last = conv_gru(x, None, make_weights(2))
    assert outputs.shape == (0, 3, 2, 4, 5)
    assert last.shape == (0, 2, 4, 5)
    outputs.sum().backward()
    assert x.grad is not None


def test_autocast_keeps_the_dtype_of_the_frames():
    x, weights = make_frames(1, 3, 4, 3, 3, dtype=torch.float32), make_weights(4, torch.float32)
    expected, _ = conv_gru(x, None, weights)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs, last = conv_gru(x, None, weights)
        again, _ = conv_gru(x, last.bfloat16(), weights)
    assert outputs.dtype == last.dtype == again.dtype == torch.float32
    torch.testing.assert_close(outputs, expected, **TOLERANCE[torch.bfloat16])


X, H = torch.zeros(2, 3, 4, 5, 6), torch.zeros(2, 4, 5, 6)
WEIGHTS = make_weights(4, torch.float32)
MISTAKES = {
    r"x must be \(B, T, C, H, W\) with T, C, H, W >= 1, got shape \(3, 4, 5, 6\)": (
        X[0],
        H,
        WEIGHTS,
    ),
    r"x must be .* got shape \(2, 0, 4, 5, 6\) float32": (X[:, :0], H, WEIGHTS),
    r"x must be of a floating dtype, got .* int64": (X.long(), H, WEIGHTS),
    r"h must be \(2, 4, 5, 6\) to match x, got shape \(2, 3, 5, 6\)": (X, H[:, :3], WEIGHTS),
    r"h must be float32 like x, got .* float64": (X, H.double(), WEIGHTS),
    r"h must be on cpu like x, got a tensor on meta": (X, H.to("meta"), WEIGHTS),
    r"weights\.input must be \(12, 4, 3, 3\) to match x with C=4, got": (
        X,
        H,
        WEIGHTS._replace(input=WEIGHTS.input[:9]),
    ),
    r"weights\.hidden must be \(12, 4, 3, 3\) .* got shape \(12, 4, 1, 1\)": (
        X,
        H,
        WEIGHTS._replace(hidden=WEIGHTS.hidden[..., :1, :1]),
    ),
    r"weights\.hidden must be float32 like x, got .* bfloat16": (
        X,
        H,
        WEIGHTS._replace(hidden=WEIGHTS.hidden.bfloat16()),
    ),
    r"weights\.bias must be \(12,\) .* got shape \(8,\)": (
        X,
        H,
        WEIGHTS._replace(bias=WEIGHTS.bias[:8]),
    ),
}


@pytest.mark.parametrize(("message", "arguments"), MISTAKES.items(), ids=range(len(MISTAKES)))
def test_mistakes_are_named(message, arguments):
    with pytest.raises(ValueError, match=message):
        conv_gru(*arguments)
