"""What a run is made of: frozen sections that check themselves. The defaults are the paper's.

A YAML file names what differs from them. Nothing below `build.py` sees these classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from vidgap_vis.config.data import (
    ImageDataConfig,
    PseudoAugmentation,
    PseudoClipConfig,
    PseudoDataConfig,
    PseudoExportConfig,
    VideoClipConfig,
    VideoDataConfig,
)
from vidgap_vis.config.network import LossConfig, ModelConfig, TemporalConfig
from vidgap_vis.config.training import TrainConfig

__all__ = [
    "FinetuneConfig",
    "ImageDataConfig",
    "LossConfig",
    "ModelConfig",
    "PretrainConfig",
    "PseudoAugmentation",
    "PseudoClipConfig",
    "PseudoDataConfig",
    "PseudoExportConfig",
    "RunConfig",
    "TemporalConfig",
    "TrainConfig",
    "VideoClipConfig",
    "VideoDataConfig",
]


@dataclass(frozen=True)
class PretrainConfig:
    """Pre-training on pseudo-clips of still images.

    Attributes:
        data: the still images.
        clip: how they become clips.
        model: the segmenter.
        temporal: the temporal module; null: none, the baseline.
        loss: matching and losses.
        train: the optimisation.
    """

    data: ImageDataConfig
    clip: PseudoClipConfig = field(default_factory=PseudoClipConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    temporal: TemporalConfig | None = field(default_factory=TemporalConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


@dataclass(frozen=True)
class FinetuneConfig:
    """Fine-tuning on clips of videos.

    Attributes:
        data: the videos, and still images beside them.
        clip: how clips are cut from them.
        model: the segmenter.
        temporal: the temporal module; null: none, the baseline.
        loss: matching and losses.
        train: the optimisation.
    """

    data: VideoDataConfig
    clip: VideoClipConfig = field(default_factory=VideoClipConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    temporal: TemporalConfig | None = field(default_factory=TemporalConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    train: TrainConfig = field(
        default_factory=lambda: TrainConfig(steps=16_000, milestones=(6_000, 12_000))
    )


RunConfig = PretrainConfig | FinetuneConfig
"""The configuration of any training run."""
