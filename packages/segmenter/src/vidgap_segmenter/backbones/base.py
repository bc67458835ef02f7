"""The interface of backbones."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn

STRIDES = (4, 8, 16, 32)

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


class Backbone(nn.Module):
    """Turns images into maps of strides 4, 8, 16 and 32.

    Attributes:
        channels: channels of the four maps, fine to coarse.
        pixel_mean: what to subtract from RGB in 0..255, a number a channel.
        pixel_std: what to divide by after that.
    """

    channels: tuple[int, ...]
    pixel_mean: tuple[float, float, float] = IMAGENET_MEAN
    pixel_std: tuple[float, float, float] = IMAGENET_STD

    @abstractmethod
    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the four maps, fine to coarse.

        Args:
            images: (B, 3, H, W), normalised, H and W divisible by 32.

        Returns:
            (B, C_l, H/s, W/s) for strides s = 4, 8, 16, 32.
        """
