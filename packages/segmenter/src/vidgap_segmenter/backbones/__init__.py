"""Networks that turn images into maps of strides 4, 8, 16 and 32."""

from __future__ import annotations

from vidgap_segmenter.backbones.base import Backbone
from vidgap_segmenter.backbones.swin import SWIN_SIZES, Swin
from vidgap_segmenter.backbones.timm_features import TimmBackbone
from vidgap_segmenter.backbones.weights import load_backbone_weights

__all__ = ["Backbone", "Swin", "TimmBackbone", "build_backbone", "load_backbone_weights"]


def build_backbone(name: str) -> Backbone:
    """Build a backbone with random weights.

    Args:
        name: "swin_tiny", "swin_small", "swin_base", "swin_large", or any convolutional network of
            timm with feature maps at strides 4, 8, 16 and 32 ("resnet50", "tf_efficientnet_lite0").

    Raises:
        ValueError: timm has no such network, or it has no such maps.
    """
    if name in SWIN_SIZES:
        return Swin(SWIN_SIZES[name])
    return TimmBackbone(name)
