"""Groups of parameters follow the training recipe."""

from __future__ import annotations

import torch
from segmenter.support import MixFrames, small_model
from torch import nn

from vidgap_segmenter import parameter_groups


def by_name(model: nn.Module) -> dict[str, tuple[float, float]]:
    names = {parameter: name for name, parameter in model.named_parameters()}
    groups = parameter_groups(model, lr=1e-3, weight_decay=0.05)
    listed = [parameter for group in groups for parameter in group["params"]]
    assert len(listed) == len(set(listed))
    return {
        names[parameter]: (group["lr"], group["weight_decay"])
        for group in groups
        for parameter in group["params"]
    }


def test_rates_and_decays_are_those_of_the_recipe() -> None:
    model = small_model("swin_tiny", temporal=MixFrames())
    found = by_name(model)
    assert set(found) == {name for name, _ in model.named_parameters()}
    for name, wanted in {
        "backbone.layers.0.blocks.0.attn.qkv.weight": (1e-4, 0.05),
        "backbone.layers.0.blocks.0.attn.qkv.bias": (1e-4, 0.05),
        "backbone.layers.0.blocks.0.norm1.weight": (1e-4, 0.0),
        "backbone.layers.0.blocks.0.attn.relative_position_bias_table": (1e-4, 0.0),
        "pixel_decoder.level_embed": (1e-3, 0.05),
        "pixel_decoder.input_proj.0.0.bias": (1e-3, 0.05),
        "pixel_decoder.input_proj.0.1.weight": (1e-3, 0.0),
        "pixel_decoder.layers.0.norm1.bias": (1e-3, 0.0),
        "decoder.query_feat.weight": (1e-3, 0.0),
        "decoder.query_embed.weight": (1e-3, 0.0),
        "decoder.level_embed.weight": (1e-3, 0.0),
        "decoder.layers.0.self_attn.in_proj_weight": (1e-3, 0.05),
        "temporal.now.weight": (1e-3, 0.05),
    }.items():
        assert found[name] == wanted, name


def test_frozen_parameters_are_left_out() -> None:
    found = by_name(small_model(train_backbone=False))
    assert found
    assert not any(name.startswith("backbone") for name in found)


def test_a_shared_parameter_is_listed_once() -> None:
    linear = nn.Linear(3, 3)
    model = nn.ModuleDict({"first": linear, "second": linear})
    assert set(by_name(model)) == {"first.weight", "first.bias"}


def test_an_optimiser_takes_the_groups() -> None:
    groups = parameter_groups(small_model(), lr=1e-3, weight_decay=0.05)
    optimiser = torch.optim.AdamW(groups)
    assert len(optimiser.param_groups) == 3  # Lite0 has no trainable norm: convolutions alone
