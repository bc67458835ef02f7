"""Sections `model`, `temporal` and `loss`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vidgap_vis.config.checks import require, require_fraction, require_positive


@dataclass(frozen=True)
class ModelConfig:
    """The segmenter (Mask2Former).

    Attributes:
        backbone: `resnet50`, `swin_tiny` ..., or any timm network with `features_only`.
        backbone_weights: its ImageNet weights: a file, a package's name, or null for none.
        train_backbone: off freezes the backbone.
        channels: width of the pixel decoder and the decoder.
        num_queries: instances that a frame can hold at most.
        num_encoder_layers: deformable layers of the pixel decoder.
        encoder_ffn_channels: their hidden width.
        num_decoder_layers: layers of the masked-attention decoder.
        decoder_ffn_channels: their hidden width.
        num_heads: attention heads of both.
        num_points: sampled locations of a head and scale.
    """

    backbone: str = "resnet50"
    backbone_weights: str | None = None
    train_backbone: bool = True
    channels: int = 256
    num_queries: int = 100
    num_encoder_layers: int = 6
    encoder_ffn_channels: int = 1024
    num_decoder_layers: int = 9
    decoder_ffn_channels: int = 2048
    num_heads: int = 8
    num_points: int = 4

    def __post_init__(self) -> None:
        require_positive(
            "model",
            channels=self.channels,
            num_queries=self.num_queries,
            num_encoder_layers=self.num_encoder_layers,
            encoder_ffn_channels=self.encoder_ffn_channels,
            num_decoder_layers=self.num_decoder_layers,
            decoder_ffn_channels=self.decoder_ffn_channels,
            num_heads=self.num_heads,
            num_points=self.num_points,
        )
        wanted = f"a multiple of model.num_heads ({self.num_heads})"
        require("model.channels", self.channels % self.num_heads == 0, wanted, self.channels)


@dataclass(frozen=True)
class TemporalConfig:
    """The temporal module on the pixel decoder's scales; its width is the model's.

    Attributes:
        window_size: side of the attention windows.
        num_heads: attention heads.
        ffn_channels: hidden width of the short-term layers.
        num_short_layers: short-term layers (the paper's L).
        num_gru_layers: ConvGRU layers (the paper's N).
        gru_channels: channels that pass through the ConvGRU; null: half of the model's.
        residual: the form of equation 3.
        init: `identity` starts as if the module were absent.
        pairing: which two frames attend to each other.
        share_scales: one set of weights for all scales.
    """

    window_size: int = 8
    num_heads: int = 8
    ffn_channels: int = 512
    num_short_layers: int = 2
    num_gru_layers: int = 2
    gru_channels: int | None = None
    residual: Literal["gated_residual", "full", "literal"] = "gated_residual"
    init: Literal["default", "identity"] = "default"
    pairing: Literal["half", "adjacent"] = "half"
    share_scales: bool = False

    def __post_init__(self) -> None:
        require_positive(
            "temporal",
            window_size=self.window_size,
            num_heads=self.num_heads,
            ffn_channels=self.ffn_channels,
        )
        for name in ("num_short_layers", "num_gru_layers"):
            value = getattr(self, name)
            require(f"temporal.{name}", value >= 0, "0 or more layers", value)


@dataclass(frozen=True)
class LossConfig:
    """Matching and losses.

    Attributes:
        num_points: points at which masks are compared.
        oversample: points drawn for each one kept by uncertainty.
        importance: share of the points chosen by uncertainty.
        class_weight: of the cross entropy.
        mask_weight: of the masks' binary cross entropy.
        dice_weight: of the masks' dice loss.
        no_instance_weight: of the class "no instance" in the cross entropy.
    """

    num_points: int = 12544
    oversample: float = 3.0
    importance: float = 0.75
    class_weight: float = 2.0
    mask_weight: float = 5.0
    dice_weight: float = 5.0
    no_instance_weight: float = 0.1

    def __post_init__(self) -> None:
        require_positive("loss", num_points=self.num_points)
        require("loss.oversample", self.oversample >= 1, "1 or more", self.oversample)
        require_fraction("loss", importance=self.importance)
        for name in ("class_weight", "mask_weight", "dice_weight", "no_instance_weight"):
            value = getattr(self, name)
            require(f"loss.{name}", value >= 0, "0 or more", value)
