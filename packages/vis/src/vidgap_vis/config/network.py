"""Sections `model`, `temporal` and `loss`; null leaves a value to the constructor it goes to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from vidgap_vis.config.section import FROM_0, FROM_1, Count, Fraction, Section, Wanted

Layers = Annotated[int, Wanted("0 or more layers", lambda value: value >= 0)]
Anchors: TypeAlias = Literal["mask2box", "bitmask", "selected"]
"""Of `vidgap_segmenter.mask_dino`, which would import torch here."""
Weight = Annotated[float, FROM_0]

ONLY: dict[str, tuple[str, ...]] = {
    "strides": ("mask_dino", "seqformer"),
    **dict.fromkeys(("anchors", "coarse_first"), ("mask_dino",)),
    **dict.fromkeys(("num_denoising", "label_noise", "box_noise"), ("mask_dino",)),
}
"""Settings that not every architecture has -> those that do."""


@dataclass(frozen=True)
class ModelConfig(Section, key="model"):
    """The segmenter.

    Attributes:
        architecture: `mask2former` or `mask_dino`, frame by frame; `mask2former_vis` or
            `seqformer`, whole clips.
        backbone: `resnet50`, `swin_tiny` ..., or any timm network with `features_only`; null:
            `resnet50`.
        backbone_weights: its ImageNet weights: a file, a package's name, or null for none.
        train_backbone: off freezes the backbone; null: on.
        channels: width of the pixel decoder, the decoder and the temporal module.
        num_queries: instances that a frame can hold at most; null: 100, of SeqFormer and Mask DINO
            300.
        num_encoder_layers: deformable layers of the pixel decoder; null: 6.
        encoder_ffn_channels: their hidden width; null: 1024, of Mask DINO 2048.
        num_decoder_layers: layers of the decoder; null: 9, of SeqFormer 6.
        decoder_ffn_channels: their hidden width; null: 2048, of SeqFormer 1024.
        num_heads: attention heads of both; null: 8.
        num_points: sampled locations of a head and scale; null: 4.
        strides: of Mask DINO's and SeqFormer's encoded maps; null: 8, 16, 32, 64.
        anchors: where Mask DINO's first boxes come from: `mask2box`, `bitmask` or `selected`;
            null: `mask2box`.
        coarse_first: whether level 0 of Mask DINO's weights is the coarsest; null: off.
        num_denoising: Mask DINO's denoising queries; 0: none; null: 100.
        label_noise: probability that one of them has a random label; null: 0.2.
        box_noise: how far their boxes are moved; null: 0.4.
        embedding_dim: width of an embedding head (CTVIS: 256); null: queries are the embeddings.
        full_precision_pixel_decoder: off lets autocast into the pixel decoder; null: on.
        gradient_checkpointing: on takes less memory and more time.
    """

    architecture: Literal["mask2former", "mask2former_vis", "mask_dino", "seqformer"] = (
        "mask2former"
    )
    backbone: str | None = None
    backbone_weights: str | None = None
    train_backbone: bool | None = None
    channels: Count = 256
    num_queries: Count | None = None
    num_encoder_layers: Count | None = None
    encoder_ffn_channels: Count | None = None
    num_decoder_layers: Count | None = None
    decoder_ffn_channels: Count | None = None
    num_heads: Count | None = None
    num_points: Count | None = None
    strides: tuple[int, ...] | None = None
    anchors: Anchors | None = None
    coarse_first: bool | None = None
    num_denoising: int | None = None
    label_noise: float | None = None
    box_noise: float | None = None
    embedding_dim: Count | None = None
    full_precision_pixel_decoder: bool | None = None
    gradient_checkpointing: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, networks in ONLY.items():
            fits = getattr(self, name) is None or self.architecture in networks
            self.require(name, fits, f"null unless model.architecture is {' or '.join(networks)}")
        divides = self.num_heads is None or self.channels % self.num_heads == 0
        self.require("channels", divides, f"a multiple of model.num_heads ({self.num_heads})")


@dataclass(frozen=True)
class TemporalConfig(Section, key="temporal"):
    """The temporal module on the pixel decoder's scales; its width is the model's.

    Attributes:
        window_size: side of the attention windows; null: 8.
        num_heads: attention heads; null: 8.
        ffn_channels: hidden width of the short-term layers; null: 512.
        num_short_layers: short-term layers (the paper's L); null: 2.
        num_gru_layers: ConvGRU layers (the paper's N); null: 2.
        gru_channels: channels that pass through the ConvGRU; null: half of the model's.
        residual: the form of equation 3; null: `gated_residual`.
        init: `identity` starts as if the module were absent; null: `default`.
        pairing: which two frames attend to each other; null: `half`.
        share_scales: one set of weights for all scales; null: off.
    """

    window_size: Count | None = None
    num_heads: Count | None = None
    ffn_channels: Count | None = None
    num_short_layers: Layers | None = None
    num_gru_layers: Layers | None = None
    gru_channels: int | None = None
    residual: Literal["gated_residual", "full", "literal"] | None = None
    init: Literal["default", "identity"] | None = None
    pairing: Literal["half", "adjacent"] | None = None
    share_scales: bool | None = None


@dataclass(frozen=True)
class LossConfig(Section, key="loss"):
    """Matching and losses.

    Attributes:
        num_points: points at which masks are compared; null: 12544.
        oversample: points drawn for each one kept by uncertainty; null: 3.0.
        importance: share of the points chosen by uncertainty; null: 0.75.
        class_weight: of the cross entropy or the focal loss; null: 2.0, of Mask DINO 4.0.
        mask_weight: of the masks' binary cross entropy; null: 5.0.
        dice_weight: of the masks' dice loss; null: 5.0.
        no_instance_weight: of the class "no instance" in the cross entropy; null: 0.1 (Mask DINO
            has no such class).
        box_weight: of the distance of Mask DINO's and SeqFormer's boxes; null: 5.0.
        giou_weight: of their generalised IoU; null: 2.0.
    """

    num_points: Count | None = None
    oversample: Annotated[float, FROM_1] | None = None
    importance: Fraction | None = None
    class_weight: Weight | None = None
    mask_weight: Weight | None = None
    dice_weight: Weight | None = None
    no_instance_weight: Weight | None = None
    box_weight: Weight | None = None
    giou_weight: Weight | None = None
