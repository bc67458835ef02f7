"""`step`: a stream cut anywhere, its state, and its mistakes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from temporal.pyramids import SIZES, make_module, make_pyramid
from tolerances import TOLERANCE


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 3), min_size=1, max_size=4),
    num_gru=st.integers(0, 3),
    residual=st.sampled_from(["literal", "gated_residual", "full"]),
)
def test_without_short_layers_any_cut_gives_the_clip(lengths, num_gru, residual):
    module = make_module(num_short_layers=0, num_gru_layers=num_gru, residual=residual)
    features = make_pyramid(num_frames=sum(lengths))
    expected, state, parts = module(features), None, []
    for part in zip(*(maps.split(lengths, dim=1) for maps in features), strict=True):
        outputs, state = module.step(part, state)
        parts.append(outputs)
    for scale, whole in enumerate(expected):
        joined = torch.cat([outputs[scale] for outputs in parts], dim=1)
        torch.testing.assert_close(joined, whole, **TOLERANCE[torch.float64])


@pytest.mark.parametrize("num_frames", [1, 2, 5])
@pytest.mark.parametrize("pairing", ["half", "adjacent"])
def test_one_step_of_all_frames_is_the_clip(num_frames, pairing):
    module, features = make_module(pairing=pairing), make_pyramid(num_frames=num_frames)
    outputs, _ = module.step(features, None)
    for left, right in zip(outputs, module(features), strict=True):
        assert torch.equal(left, right)


def test_with_short_layers_pairs_lie_inside_a_step():
    module, features = make_module(num_gru_layers=0), make_pyramid(num_frames=4)
    halves = [[maps[:, cut] for maps in features] for cut in (slice(0, 2), slice(2, 4))]
    for half in halves:
        outputs, _ = module.step(half, None)
        for left, right in zip(outputs, module(half), strict=True):
            assert torch.equal(left, right)


@pytest.mark.parametrize("num_gru", [0, 1, 3])
@pytest.mark.parametrize(("residual", "channels"), [("gated_residual", 4), ("full", 8)])
def test_the_state_is_one_tensor_a_scale(num_gru, residual, channels):
    module = make_module(num_gru_layers=num_gru, residual=residual, dtype=torch.float32)
    features = make_pyramid(dtype=torch.float32)
    _, state = module.step(features)
    for _ in range(2):
        assert [tuple(s.shape) for s in state] == [(2, num_gru, channels, *size) for size in SIZES]
        assert all(s.dtype == torch.float32 for s in state)
        _, state = module.step([maps[:, :1] for maps in features], state)


def test_the_state_matters_and_carries_gradients():
    module, features = make_module(), make_pyramid()
    first = [maps.clone().requires_grad_() for maps in features]
    _, state = module.step(first)
    outputs, _ = module.step(features, state)
    fresh, _ = module.step(features)
    assert not torch.equal(outputs[0], fresh[0])
    outputs[0].sum().backward()
    assert first[0].grad.abs().sum() > 0


@pytest.mark.parametrize("num_gru", [0, 1, 2])
@pytest.mark.parametrize("state_after", [1, 2, 4, 5])
def test_the_state_may_be_that_before_the_last_frames(num_gru, state_after):
    """Of the same maps, whose partners lie in the whole step; the maps do not change."""
    module, features = make_module(num_gru_layers=num_gru), make_pyramid(num_frames=5)
    before = module.step(features)[1]
    outputs, state = module.step(features, before, state_after=state_after)
    wanted, after = module.step(features, before)
    for left, right in zip(outputs, wanted, strict=True):
        assert torch.equal(left, right)
    if state_after == 5:
        assert all(torch.equal(left, right) for left, right in zip(state, after, strict=True))
    causal = make_module(num_short_layers=0, num_gru_layers=num_gru)
    _, state = causal.step(features, before, state_after=state_after)
    _, after = causal.step([maps[:, :state_after] for maps in features], before)
    for left, right in zip(state, after, strict=True):
        torch.testing.assert_close(left, right, **TOLERANCE[torch.float64])


@pytest.mark.parametrize("wrong", [0, 6, -1])
def test_a_state_after_no_frame_of_the_step_is_named(wrong):
    message = f"state_after must be 1 to the step's 5 frames, got {wrong}"
    with pytest.raises(ValueError, match=message):
        make_module().step(make_pyramid(num_frames=5), state_after=wrong)


MODULE, FEATURES = make_module(), make_pyramid()
STATE = MODULE.step(FEATURES)[1]
MISTAKES = {
    r"state must be 3 tensors, got 1": STATE[:1],
    r"state\[1\] must be \(2, 2, 4, 3, 4\) to match features\[1\], got shape \(2, 1, 4, 3, 4\)": [
        STATE[0],
        STATE[1][:, :1],
        STATE[2],
    ],
    r"state\[0\] must be \(2, 2, 4, 5, 6\) .* got shape \(2, 2, 4, 2, 2\)": STATE[::-1],
    r"state\[2\] must be \(2, 2, 4, 2, 2\) .* got shape \(1, 2, 4, 2, 2\)": [
        STATE[0],
        STATE[1],
        STATE[2][:1],
    ],
}


@pytest.mark.parametrize(("message", "state"), MISTAKES.items(), ids=range(len(MISTAKES)))
def test_a_state_that_does_not_fit_is_named(message, state):
    with pytest.raises(ValueError, match=message):
        MODULE.step(FEATURES, state)


def test_a_state_of_another_dtype_is_named():
    with pytest.raises(ValueError, match=r"h must be float64 like x, got .* float32"):
        MODULE.step(FEATURES, [carried.float() for carried in STATE])
