"""Convolutional backbones of timm, with frozen batch norms."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vidgap_segmenter.backbones.base import STRIDES, Backbone
from vidgap_segmenter.backbones.folding import FoldedNetwork
from vidgap_segmenter.backbones.frozen_norm import freeze_batch_norms

if TYPE_CHECKING:
    from typing_extensions import Self

LITE_MEAN = (127.0, 127.0, 127.0)
LITE_STD = (128.0, 128.0, 128.0)


class TimmBackbone(Backbone):
    """A `features_only` network of timm.

    Batch norms never learn: their statistics and affine maps are buffers (Mask2Former's FrozenBN).
    Where no gradient is wanted they are computed inside the convolutions (`FoldedNetwork`).
    Maps are channels-last inside: depthwise convolutions need it on a CPU, and all convolutions in
    half precision on a GPU.

    Args:
        name: timm's name of the network.

    Raises:
        ValueError: timm has no such network, or it has no maps at strides 4, 8, 16, 32.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        import timm

        self.body = timm.create_model(
            name, features_only=True, pretrained=False, out_indices=_stride_indices(name)
        )
        freeze_batch_norms(self.body)
        self._folded = FoldedNetwork()
        self._gradient_checkpointing = False
        self.channels = tuple(self.body.feature_info.channels())
        self.pixel_mean, self.pixel_std = _pixel_statistics(name)

    @property
    def gradient_checkpointing(self) -> bool:
        """Whether timm's stages keep only their inputs for the backward pass."""
        return self._gradient_checkpointing

    @gradient_checkpointing.setter
    def gradient_checkpointing(self, on: bool) -> None:
        self.body.set_grad_checkpointing(on)
        self._gradient_checkpointing = on

    def train(self, mode: bool = True) -> Self:
        """Set the mode; what was computed from the weights is computed anew."""
        self._folded.forget()
        return super().train(mode)

    def forward(self, images: Tensor) -> list[Tensor]:
        images = images.contiguous(memory_format=torch.channels_last)
        if torch.is_grad_enabled():
            return list(self.body(images))
        return self._folded(self.body, images)


@cache
def _stride_indices(name: str) -> tuple[int, ...]:
    """Return which of a network's maps have the strides wanted, without making its weights."""
    import timm

    if not timm.is_model(name):
        raise ValueError(f"backbone must be a Swin size or a network of timm, got {name!r}")
    with torch.device("meta"):
        body = timm.create_model(name, features_only=True, pretrained=False)
    strides = list(body.feature_info.reduction())
    if not set(STRIDES) <= set(strides):
        raise ValueError(
            f"backbone must have maps at strides {list(STRIDES)}, {name!r} has them at {strides}"
        )
    # Networks of timm without this attribute are convolutional, and so channels-first.
    if getattr(body, "output_fmt", "NCHW") != "NCHW":
        raise ValueError(f"backbone must give channels-first maps, {name!r} gives maps as NHWC")
    return tuple(strides.index(stride) for stride in STRIDES)


def _pixel_statistics(
    name: str,
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Return mean and standard deviation of RGB in 0..255, as the network's weights expect."""
    from timm.models import get_pretrained_cfg

    if name.startswith("tf_efficientnet_lite"):
        return LITE_MEAN, LITE_STD
    config = get_pretrained_cfg(name)
    red, green, blue = (255 * value for value in config.mean)
    red_std, green_std, blue_std = (255 * value for value in config.std)
    return (red, green, blue), (red_std, green_std, blue_std)
