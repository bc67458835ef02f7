"""`init="identity"`: nothing changes at first, and everything learns."""

from __future__ import annotations

import itertools

import pytest
import torch
from temporal.pyramids import channels_last, make_module, make_pyramid

LAYERS = list(itertools.product((0, 1, 2), (0, 1, 3)))


@pytest.mark.parametrize("residual", ["gated_residual", "full"])
@pytest.mark.parametrize(("num_short", "num_gru"), LAYERS)
@pytest.mark.parametrize("layout", [torch.clone, channels_last], ids=["contiguous", "last"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_features_come_back_to_the_bit(dtype, layout, num_short, num_gru, residual):
    module = make_module(
        init="identity",
        residual=residual,
        num_short_layers=num_short,
        num_gru_layers=num_gru,
        dtype=dtype,
    )
    features = [layout(maps.to(dtype)) for maps in make_pyramid()]
    outputs, state = module.step(features)
    more, _ = module.step(features, state)
    for before, after, later in zip(features, outputs, more, strict=True):
        assert torch.equal(after, before)
        assert torch.equal(later, before)
        assert after.dtype == before.dtype
        assert after.stride() == before.stride()


@pytest.mark.parametrize("residual", ["gated_residual", "full"])
def test_features_come_back_under_autocast_too(residual):
    module = make_module(init="identity", residual=residual, dtype=torch.float32)
    features = make_pyramid(dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = module(features)
    assert all(torch.equal(a, b) for a, b in zip(outputs, features, strict=True))


@pytest.mark.parametrize(
    ("residual", "gru_channels"),
    [("gated_residual", None), ("gated_residual", 3), ("gated_residual", 8), ("full", None)],
)
@pytest.mark.parametrize(("num_short", "num_gru"), [*LAYERS[1:], (3, 2)])
def test_three_steps_reach_every_parameter(num_short, num_gru, residual, gru_channels):
    module = make_module(
        init="identity",
        residual=residual,
        num_short_layers=num_short,
        num_gru_layers=num_gru,
        gru_channels=gru_channels,
    )
    features, wanted = make_pyramid(seed=0), make_pyramid(seed=1)
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3)
    reached = {name: torch.zeros_like(p, dtype=torch.bool) for name, p in module.named_parameters()}
    for _ in range(3):
        optimizer.zero_grad()
        outputs = module(features)
        sum((a - b).square().mean() for a, b in zip(outputs, wanted, strict=True)).backward()
        for name, parameter in module.named_parameters():
            reached[name] |= parameter.grad != 0
        optimizer.step()
    for name, learnt in reached.items():
        assert learnt.any(), name
        # The gates r, z, c of a ConvGRU are one tensor; each of them must learn.
        gates = learnt.chunk(3) if "long_term" in name else (learnt,)
        assert all(gate.any() for gate in gates), name


def test_the_literal_equation_has_no_identity():
    with pytest.raises(
        ValueError, match="init='identity' must go with residual='gated_residual' or 'full', got"
    ):
        make_module(init="identity", residual="literal")
