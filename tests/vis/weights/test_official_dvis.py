"""DVIS's official files make the tracker and the refiner, or say what is wrong."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from vis.support.following import small_refiner, small_tracker

from vidgap_segmenter import WeightsMismatch
from vidgap_vis.trackers.dvis import ReferringTracker, TemporalRefiner
from vidgap_vis.weights.official_heads.dvis import TABLE, dvis_heads


def official() -> dict[str, Tensor]:
    modules = {"tracker.": small_tracker(), "refiner.": small_refiner()}
    ours = {
        prefix + name: tensor
        for prefix, module in modules.items()
        for name, tensor in module.state_dict().items()
    }
    return TABLE.to_theirs(ours)


def test_released_sizes_have_the_official_number_of_parameters() -> None:
    with torch.device("meta"):
        modules = (ReferringTracker(256, 40), TemporalRefiner(256, 40))
    counts = [sum(p.numel() for p in module.parameters()) for module in modules]
    assert counts == [9_680_937, 14_415_146]


def test_a_file_makes_both_beside_the_segmenter() -> None:
    state = official() | {"backbone.stem.conv1.weight": torch.zeros(1)}
    heads = dvis_heads(state, num_heads=2)
    assert heads.rest == ("backbone.stem.conv1.weight",)
    assert heads.refiner is not None
    assert heads.tracker.inverse_alignment
    for module, wanted in ((heads.tracker, small_tracker()), (heads.refiner, small_refiner())):
        assert not module.training
        assert module.layers[0].cross_attention.attention.num_heads == 2
        for name, tensor in wanted.state_dict().items():
            assert torch.equal(module.state_dict()[name], tensor), name


def test_an_online_model_has_no_refiner() -> None:
    state = {name: t for name, t in official().items() if name.startswith("tracker.")}
    heads = dvis_heads(state, num_heads=2, inverse_alignment=False)
    assert heads.refiner is None
    assert not heads.tracker.inverse_alignment


def test_what_is_wrong_with_a_file_is_named() -> None:
    state = official()
    with pytest.raises(ValueError, match=r"state must hold DVIS's `tracker\.` weights, got none"):
        dvis_heads({"backbone.x": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"no table of DVIS knows tracker\.extra\.weight"):
        dvis_heads(state | {"tracker.extra.weight": torch.zeros(1)})
    del state["tracker.transformer_cross_attention_layers.1.norm.weight"]
    with pytest.raises(WeightsMismatch, match=r"layers\.1\.cross_attention\.norm\.weight"):
        dvis_heads(state, num_heads=2)
    del state["tracker.class_embed.weight"]
    with pytest.raises(ValueError, match=r"tracker\.head\.class_embed\.weight is missing"):
        dvis_heads(state, num_heads=2)
