"""Parameter counts of the layers, the default module and the settings of the published size."""

from __future__ import annotations

import pytest
import torch

from vidgap_temporal import MultiScaleTemporalModule
from vidgap_temporal.long_term import ConvGRU
from vidgap_temporal.short_term import ShortTermLayer


def num_parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("ffn_channels", "expected"),
    [(256, 663_568), (512, 794_896), (1024, 1_057_552), (2048, 1_582_864)],
)
def test_parameters_of_a_short_term_layer(ffn_channels, expected):
    assert num_parameters(ShortTermLayer(256, 8, 8, ffn_channels, shift=0)) == expected


@pytest.mark.parametrize(("channels", "expected"), [(256, 3_539_712), (128, 885_120)])
def test_parameters_of_a_conv_gru_layer(channels, expected):
    assert num_parameters(ConvGRU(channels)) == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, 10_080_096),
        ({"num_scales": 4}, 13_440_128),
        ({"share_scales": True}, 3_360_032),
        ({"num_short_layers": 0}, 5_310_720),
        ({"num_gru_layers": 0}, 4_769_376),
        ({"residual": "full"}, 26_007_648),
        ({"residual": "literal", "gru_channels": 256}, 26_007_648),
        ({"share_scales": True, "num_short_layers": 6, "num_gru_layers": 6}, 10_080_096),
    ],
    ids=str,
)
def test_parameters_of_the_module(arguments, expected):
    with torch.device("meta"):
        assert num_parameters(MultiScaleTemporalModule(**arguments)) == expected


@pytest.mark.parametrize(
    ("share_scales", "ffn_channels", "num_short", "gru_channels", "num_gru", "millions"),
    [
        (False, 512, 3, 128, 1, 9.809),
        (False, 256, 1, 128, 3, 9.957),
        (False, 2048, 1, 128, 2, 10.059),
        (False, 512, 2, 128, 2, 10.080),
        (False, 512, 1, 128, 3, 10.351),
        (True, 1024, 4, 128, 6, 9.541),
        (True, 1024, 5, 128, 5, 9.713),
        (True, 2048, 4, 256, 1, 9.871),
        (True, 1024, 6, 256, 1, 9.885),
        (True, 2048, 3, 128, 6, 10.059),
        (True, 512, 6, 128, 6, 10.080),
        (True, 1024, 3, 256, 2, 10.252),
        (True, 2048, 6, 128, 1, 10.382),
    ],
)
def test_settings_that_give_the_published_size_have_the_parameters_computed_by_hand(
    share_scales, ffn_channels, num_short, gru_channels, num_gru, millions
):
    with torch.device("meta"):
        module = MultiScaleTemporalModule(
            ffn_channels=ffn_channels,
            num_short_layers=num_short,
            num_gru_layers=num_gru,
            gru_channels=gru_channels,
            share_scales=share_scales,
        )
    assert round(num_parameters(module) / 1e6, 3) == millions
