"""What a temporal module's state remembers, by a linear probe."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from vidgap_temporal import MultiScaleTemporalModule
from vidgap_vis.inference.state_probe import AGO, Held, auc, recall, watching

CELLS = (6, 8)


def made(seed: int, keep: int | None, length: int = 12) -> Held:
    """Instances at random; features show them now, the state as they were `keep` frames ago."""
    rng = np.random.default_rng(seed)
    covered = rng.random((length, *CELLS)) < 0.3
    features = covered[..., None] + rng.normal(0, 0.1, (length, *CELLS, 3))
    state = rng.normal(0, 0.1, (length, *CELLS, 2))
    if keep is not None:
        state[keep:, ..., 1] += covered[:-keep]
    return Held(features.astype("f4"), state.astype("f4"), covered)


@pytest.mark.parametrize("keep", AGO)
def test_what_is_kept_is_found_and_nothing_else(keep: int) -> None:
    found = recall([made(seed, keep) for seed in range(6)])
    for ago in AGO:
        one = found[str(ago)]
        remembered = ago == keep
        assert all(one[name] is not None for name in one)
        assert one["share"] == pytest.approx(0.3, abs=0.05)
        assert one["features"] == pytest.approx(0.5, abs=0.1)
        for name in ("state", "both"):
            value = one[name]
            assert value is not None
            assert (value > 0.99) if remembered else (abs(value - 0.5) < 0.1)


def test_without_memory_there_is_nothing() -> None:
    found = recall([made(seed, None) for seed in range(6)])
    assert found["1"]["both"] == pytest.approx(0.5, abs=0.1)


def test_videos_that_cannot_be_asked_are_left_out() -> None:
    short = [made(seed, None, length=3) for seed in range(2)]
    found = recall(short)
    assert found["2"]["share"] is not None
    assert found["4"] == dict.fromkeys(("features", "state", "both", "share"))
    full = Held(short[0].features, short[0].state, np.ones_like(short[0].covered))
    assert recall([full, full])["1"]["share"] is None
    assert recall([])["1"]["share"] is None


def test_area_under_the_curve_is_the_share_of_ordered_pairs() -> None:
    rng = np.random.default_rng(0)
    scores, truth = rng.integers(0, 6, 60).astype(float), rng.random(60) < 0.4
    pairs = [
        1.0 if one > other else 0.5 if one == other else 0.0
        for one in scores[truth]
        for other in scores[~truth]
    ]
    assert auc(scores, truth) == pytest.approx(np.mean(pairs))
    assert auc(scores, np.zeros(60, bool)) is None
    assert auc(scores, np.ones(60, bool)) is None


class Network(nn.Module):
    """Has a temporal module, and steps it alone."""

    def __init__(self, num_gru_layers: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.temporal = MultiScaleTemporalModule(
            8, 2, 4, num_heads=2, ffn_channels=8, num_gru_layers=num_gru_layers
        )


def test_a_watched_module_returns_the_same_and_is_put_back() -> None:
    network = Network(2)
    module = network.temporal
    frames = [[torch.randn(1, 1, 8, 4, 6), torch.randn(1, 1, 8, 2, 3)] for _ in range(3)]
    with torch.inference_mode():
        state, wanted = None, []
        for maps in frames:
            wanted.append(module.step(maps, state))
            state = wanted[-1][1]
        with watching(network) as watched:
            assert watched is not None
            state = None
            for maps, (refined, after) in zip(frames, wanted, strict=True):
                got, state = network.temporal.step(maps, state)
                torch.testing.assert_close(got, refined, rtol=0, atol=0)
                torch.testing.assert_close(state, after, rtol=0, atol=0)
            masks = np.zeros((2, 3, 32, 48), bool)
            masks[1, 2, :8, :8] = True
            held = watched.take(masks)
            assert watched.steps == []
    assert network.temporal is module
    assert held.features.shape == (3, 4, 6, 8)
    assert held.state.shape == (3, 4, 6, 4)
    torch.testing.assert_close(
        torch.from_numpy(held.state[1]).permute(2, 0, 1), wanted[1][1][0][0, -1], rtol=0, atol=0
    )
    assert held.covered.sum() == 1
    assert held.covered[2, 0, 0]


def test_a_module_without_state_is_not_watched() -> None:
    for network in (Network(0), nn.Linear(1, 1)):
        with watching(network) as watched:
            assert watched is None
