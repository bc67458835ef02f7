"""Sections `model`, `temporal` and `loss`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vidgap_vis.config.checks import require, require_fraction, require_positive

MASK_DINO_ONLY = (
    *("strides", "anchors", "coarse_first"),
    *("num_denoising", "label_noise", "box_noise"),
)


@dataclass(frozen=True)
class ModelConfig:
    """The segmenter.

    Attributes:
        architecture: `mask2former` or `mask_dino`.
        backbone: `resnet50`, `swin_tiny` ..., or any timm network with `features_only`.
        backbone_weights: its ImageNet weights: a file, a package's name, or null for none.
        train_backbone: off freezes the backbone.
        channels: width of the pixel decoder and the decoder.
        num_queries: instances that a frame can hold at most; null: 100, of Mask DINO 300.
        num_encoder_layers: deformable layers of the pixel decoder.
        encoder_ffn_channels: their hidden width; null: 1024, of Mask DINO 2048.
        num_decoder_layers: layers of the decoder.
        decoder_ffn_channels: their hidden width.
        num_heads: attention heads of both.
        num_points: sampled locations of a head and scale.
        strides: of Mask DINO's encoded maps; null: 8, 16, 32, 64.
        anchors: where Mask DINO's first boxes come from: `mask2box`, `bitmask` or `selected`;
            null: `mask2box`.
        coarse_first: whether level 0 of Mask DINO's weights is the coarsest; null: the finest.
        num_denoising: Mask DINO's denoising queries; 0: none; null: 100.
        label_noise: probability that one of them has a random label; null: 0.2.
        box_noise: how far their boxes are moved; null: 0.4.
        embedding_dim: width of an embedding head (CTVIS: 256); null: queries are the embeddings.
        full_precision_pixel_decoder: off lets autocast into the pixel decoder.
        gradient_checkpointing: on takes less memory and more time.
    """

    architecture: Literal["mask2former", "mask_dino"] = "mask2former"
    backbone: str = "resnet50"
    backbone_weights: str | None = None
    train_backbone: bool = True
    channels: int = 256
    num_queries: int | None = None
    num_encoder_layers: int = 6
    encoder_ffn_channels: int | None = None
    num_decoder_layers: int = 9
    decoder_ffn_channels: int = 2048
    num_heads: int = 8
    num_points: int = 4
    strides: tuple[int, ...] | None = None
    anchors: Literal["mask2box", "bitmask", "selected"] | None = None
    coarse_first: bool | None = None
    num_denoising: int | None = None
    label_noise: float | None = None
    box_noise: float | None = None
    embedding_dim: int | None = None
    full_precision_pixel_decoder: bool = True
    gradient_checkpointing: bool = False

    def __post_init__(self) -> None:
        for name in MASK_DINO_ONLY:
            value = getattr(self, name)
            fits = value is None or self.architecture == "mask_dino"
            require(f"model.{name}", fits, "null unless model.architecture is mask_dino", value)
        require_positive(
            "model",
            channels=self.channels,
            num_queries=self.num_queries,
            num_encoder_layers=self.num_encoder_layers,
            encoder_ffn_channels=self.encoder_ffn_channels,
            embedding_dim=self.embedding_dim,
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
        class_weight: of the cross entropy or the focal loss; null: 2, of Mask DINO 4.
        mask_weight: of the masks' binary cross entropy.
        dice_weight: of the masks' dice loss.
        no_instance_weight: of the class "no instance" in the cross entropy; null: 0.1 (Mask DINO
            has no such class).
        box_weight: of the distance of Mask DINO's boxes; null: 5.
        giou_weight: of their generalised IoU; null: 2.
    """

    num_points: int = 12544
    oversample: float = 3.0
    importance: float = 0.75
    class_weight: float | None = None
    mask_weight: float = 5.0
    dice_weight: float = 5.0
    no_instance_weight: float | None = None
    box_weight: float | None = None
    giou_weight: float | None = None

    def __post_init__(self) -> None:
        require_positive("loss", num_points=self.num_points)
        require("loss.oversample", self.oversample >= 1, "1 or more", self.oversample)
        require_fraction("loss", importance=self.importance)
        for name in ("class", "mask", "dice", "no_instance", "box", "giou"):
            value = getattr(self, f"{name}_weight")
            require(f"loss.{name}_weight", value is None or value >= 0, "0 or more", value)
