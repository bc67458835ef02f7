"""Hugging Face's Mask2Former as oracle: the same small network, filled with our weights."""

from __future__ import annotations

from torch import nn

from vidgap_segmenter import Mask2Former, convert


def twin(model: Mask2Former, backbone: str) -> nn.Module:
    """Build Hugging Face's model of the same sizes, weights and dtype, in eval mode."""
    assert model.config["backbone"] == backbone
    return convert.twin(model)
