"""What the segmenter's tests share: small models, random weights, clips and a temporal module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from vidgap_segmenter import (
    ClipTargets,
    Mask2Former,
    Mask2FormerVIS,
    MaskDINO,
    SeqFormer,
    TemporalModule,
)
from vidgap_segmenter.backbones.frozen_norm import FrozenBatchNorm2d

LITE0 = "tf_efficientnet_lite0"
SIZES: dict[str, Any] = {
    "channels": 64,
    "num_queries": 12,
    "num_encoder_layers": 1,
    "encoder_ffn_channels": 256,
    "num_decoder_layers": 3,
    "decoder_ffn_channels": 256,
}


def small_model(
    backbone: str = LITE0,
    *,
    temporal: TemporalModule | None = None,
    embedding_dim: int | None = None,
    num_classes: int = 4,
    train_backbone: bool = True,
    full_precision_pixel_decoder: bool = True,
) -> Mask2Former:
    """A Mask2Former of 64 channels, 12 queries, 1 encoder layer and 3 decoder layers."""
    return Mask2Former(
        backbone,
        num_classes,
        temporal,
        embedding_dim,
        **SIZES,
        train_backbone=train_backbone,
        full_precision_pixel_decoder=full_precision_pixel_decoder,
    )


def small_mask2former_vis(
    backbone: str = LITE0,
    *,
    temporal: TemporalModule | None = None,
    embedding_dim: int | None = None,
    num_classes: int = 4,
    **settings: Any,
) -> Mask2FormerVIS:
    """A Mask2Former-VIS of the sizes of `small_model`."""
    return Mask2FormerVIS(backbone, num_classes, temporal, embedding_dim, **SIZES | settings)


def small_seqformer(
    backbone: str = LITE0,
    *,
    temporal: TemporalModule | None = None,
    embedding_dim: int | None = None,
    num_classes: int = 4,
    **settings: Any,
) -> SeqFormer:
    """A SeqFormer of 64 channels, 12 queries, 1 encoder layer and 2 decoder layers."""
    sizes = {**SIZES, "num_decoder_layers": 2}
    return SeqFormer(backbone, num_classes, temporal, embedding_dim, **sizes | settings)


def small_mask_dino(
    backbone: str = LITE0,
    *,
    temporal: TemporalModule | None = None,
    embedding_dim: int | None = None,
    num_classes: int = 4,
    **settings: Any,
) -> MaskDINO:
    """A Mask DINO of 64 channels, 12 queries, 1 encoder layer and 3 decoder layers."""
    sizes = {**SIZES, "num_denoising": 9}
    return MaskDINO(backbone, num_classes, temporal, embedding_dim, **sizes | settings)


@torch.no_grad()
def randomise(model: nn.Module, seed: int = 0) -> None:
    """Move every weight away from what an initialisation gives, norms and biases too."""
    generator = torch.Generator().manual_seed(seed)

    def noise(tensor: Tensor, scale: float) -> Tensor:
        return scale * torch.randn(tensor.shape, generator=generator).to(tensor)

    for module in model.modules():
        if isinstance(module, FrozenBatchNorm2d):
            module.running_mean += noise(module.running_mean, 0.1)
            module.running_var *= 1.5 + noise(module.running_var, 0.2).clamp(-1, 1)
            module.weight *= 0.7 + noise(module.weight, 0.1)
            module.bias += noise(module.bias, 0.1)
    for parameter in model.parameters():
        spread = parameter.std() if parameter.numel() > 1 else parameter.abs().mean()
        parameter += noise(
            parameter, max(0.1, 0.3 * spread.item()) if parameter.ndim == 1 else 0.02
        )


def random_frames(*shape: int, seed: int = 0) -> Tensor:
    """Noise with large blobs, (B, T, 3, H, W) uint8."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def random_targets(
    num_instances: int, size: tuple[int, int, int], *, num_classes: int = 4, seed: int = 0
) -> ClipTargets:
    """Random rectangles, some absent from some frames; `size` is (T, H, W)."""
    generator = torch.Generator().manual_seed(seed)
    num_frames, height, width = size
    masks = torch.zeros(num_instances, *size, dtype=torch.bool)
    for instance in range(num_instances):
        for frame in range(num_frames):
            if torch.rand((), generator=generator) < 0.2:
                continue
            top = int(torch.randint(0, height, (), generator=generator))
            left = int(torch.randint(0, width, (), generator=generator))
            masks[instance, frame, top : top + height // 2, left : left + width // 2] = True
    labels = torch.randint(0, num_classes, (num_instances,), generator=generator)
    return ClipTargets(labels, masks, torch.arange(num_instances))


class MixFrames(nn.Module):
    """A temporal module: each frame is refined by the refined frame before it."""

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        self.channels = channels
        self.now = nn.Conv2d(channels, channels, 3, padding=1)
        self.before = nn.Conv2d(channels, channels, 3, padding=1)

    @property
    def config(self) -> Mapping[str, object]:
        return {"channels": self.channels}

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        return self.step(features, None)[0]

    def step(
        self, features: list[Tensor], state: list[Tensor] | None
    ) -> tuple[list[Tensor], list[Tensor]]:
        states = state or [torch.zeros_like(clip[:, 0]) for clip in features]
        refined, last = [], []
        for clip, before in zip(features, states, strict=True):
            frames = []
            for frame in clip.unbind(1):
                before = frame + torch.tanh(self.now(frame) + self.before(before))
                frames.append(before)
            refined.append(torch.stack(frames, dim=1))
            last.append(before)
        return refined, last


class Identity(nn.Module):
    """A temporal module that changes nothing."""

    @property
    def config(self) -> Mapping[str, object]:
        return {}

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        return features

    def step(
        self, features: list[Tensor], state: list[Tensor] | None
    ) -> tuple[list[Tensor], list[Tensor]]:
        return features, state or []
