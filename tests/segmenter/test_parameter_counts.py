"""Parameter counts of the official networks, part by part."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from vidgap_segmenter import Mask2Former, MaskDINO


def count(*modules: nn.Module) -> int:
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def build(backbone: str, num_queries: int, embedding_dim: int | None = None) -> Mask2Former:
    with torch.device("meta"):
        return Mask2Former(backbone, 80, embedding_dim=embedding_dim, num_queries=num_queries)


def test_resnet50_has_the_official_counts() -> None:
    model = build("resnet50", 100)
    pixel, decoder = model.pixel_decoder, model.decoder
    assert count(model) == 43_970_257
    assert count(model.backbone) == 23_454_912
    assert count(pixel) == 6_035_904
    assert count(pixel.input_proj) == 919_808
    assert count(pixel.layers) + pixel.level_embed.numel() == 4_393_920
    assert count(pixel.lateral) == 66_048
    assert count(pixel.smooth) == 590_336
    assert count(pixel.mask_proj) == 65_792
    assert count(decoder) == 14_479_441
    assert len(decoder.layers) == 9
    for layer in decoder.layers:
        assert count(layer.self_attn, layer.self_norm) == 263_680
        assert count(layer.cross_attn, layer.cross_norm) == 263_680
        assert count(layer.linear1, layer.linear2, layer.ffn_norm) == 1_051_392
    assert count(decoder.norm) == 512
    assert count(decoder.query_feat) == count(decoder.query_embed) == 25_600
    assert count(decoder.level_embed) == 768
    assert count(decoder.class_embed) == 20_817
    assert count(decoder.mask_embed) == 197_376


def test_swin_large_has_the_official_counts() -> None:
    model = build("swin_large", 200)
    assert count(model) == 215_521_989
    assert count(model.backbone) == 195_201_204
    assert count(model.pixel_decoder) == 5_790_144
    assert count(model.decoder) == 14_530_641


def test_the_embedding_head_has_the_official_count() -> None:
    assert count(build("resnet50", 100, embedding_dim=256)) == 43_970_257 + 197_376


@pytest.mark.parametrize(
    ("backbone", "millions"), [("swin_tiny", 47), ("swin_small", 69), ("swin_base", 107)]
)
def test_other_swins_have_the_published_sizes(backbone: str, millions: int) -> None:
    assert round(count(build(backbone, 100)) / 1e6) == millions


@pytest.mark.parametrize(
    ("wanted", "backbone", "settings"),
    [
        (52_058_004, "resnet50", {}),
        (43_816_436, "resnet50", {"strides": (8, 16, 32), "encoder_ffn_channels": 1024}),
        (47_404_948, "resnet50", {"strides": (4, 8, 16, 32), "anchors": "selected"}),
        (222_799_144, "swin_large", {"strides": (4, 8, 16, 32, 64), "anchors": "bitmask"}),
    ],
    ids=["3s_dowsample1_2048", "3s", "4s_dowsample1_2048", "swin_large"],
)
def test_mask_dino_has_the_official_counts(
    wanted: int, backbone: str, settings: dict[str, Any]
) -> None:
    with torch.device("meta"):
        model = MaskDINO(backbone, 80, **settings)
    assert count(model) == wanted
