"""The short-term stage: partners, the layer's formula, who sees whom."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from tolerances import TOLERANCE
from torch import Tensor, nn

from vidgap_temporal.ops import window_attention
from vidgap_temporal.short_term import ShortTermLayer, ShortTermStage, partner_frames


@given(num_frames=st.integers(1, 40))
def test_half_pairing_swaps_the_halves_of_the_clip(num_frames):
    swapped = torch.cat(torch.arange(num_frames).chunk(2)[::-1])
    assert partner_frames(num_frames, "half") == tuple(swapped.tolist())


@pytest.mark.parametrize(
    ("num_frames", "expected"),
    [(1, (0,)), (2, (1, 0)), (3, (1, 0, 2)), (4, (1, 0, 3, 2)), (5, (1, 0, 3, 2, 4))],
)
def test_adjacent_pairing_swaps_neighbours(num_frames, expected):
    assert partner_frames(num_frames, "adjacent") == expected


@pytest.mark.parametrize("pairing", ["half", "adjacent"])
def test_three_frames_follow_the_written_decision(pairing):
    assert partner_frames(3, pairing) == {"half": (2, 0, 1), "adjacent": (1, 0, 2)}[pairing]


def normed(norm: nn.Module, x: Tensor) -> Tensor:
    mean, variance = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, unbiased=False)
    return (x - mean) / (variance + 1e-5).sqrt() * norm.weight + norm.bias


@pytest.mark.parametrize("shift", [0, 2])
def test_a_layer_is_its_formula(shift):
    torch.manual_seed(0)
    layer = ShortTermLayer(8, window_size=4, num_heads=2, ffn_channels=12, shift=shift).double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.3)
    first = torch.randn(2, 3, 5, 6, 8, dtype=torch.float64)
    second = first[:, [2, 0, 1]]  # the layer's input, halves swapped

    def attend(attention: nn.Module, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        table = attention.relative_position_bias_table
        mixed = window_attention(q, k, v, table, num_heads=2, window_size=4, shift=shift)
        return F.linear(mixed, attention.proj.weight, attention.proj.bias)

    itself, other = layer.self_attention, layer.cross_attention
    qkv = F.linear(normed(layer.self_norm, first), itself.qkv.weight, itself.qkv.bias)
    u = first + attend(itself, qkv[..., :8], qkv[..., 8:16], qkv[..., 16:])
    q = F.linear(normed(layer.query_norm, u), other.q.weight, other.q.bias)
    kv = F.linear(normed(layer.source_norm, second), other.kv.weight, other.kv.bias)
    v = u + attend(other, q, kv[..., :8], kv[..., 8:])
    hidden = F.linear(normed(layer.ffn_norm, v), layer.ffn_in.weight, layer.ffn_in.bias)
    expected = v + F.linear(F.gelu(hidden), layer.ffn_out.weight, layer.ffn_out.bias)
    torch.testing.assert_close(layer(first, (2, 0, 1)), expected, **TOLERANCE[torch.float64])


def test_every_second_layer_shifts_its_windows_by_half():
    stage = ShortTermStage(8, 7, 2, 12, num_layers=3, pairing="half")
    shifts = [(layer.self_attention.shift, layer.cross_attention.shift) for layer in stage.layers]
    assert shifts == [(0, 0), (3, 3), (0, 0)]


def test_no_layers_are_the_identity():
    features = torch.randn(1, 3, 4, 4, 8)
    assert torch.equal(ShortTermStage(8, 4, 2, 12, 0, "half")(features), features)


def test_bias_tables_are_named_so_that_no_weight_decay_falls_on_them():
    names = [name for name, _ in ShortTermLayer(8, 4, 2, 12, 0).named_parameters()]
    assert sum(name.endswith("relative_position_bias_table") for name in names) == 2
