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
from vidgap_vis.config.head import SERVES, HeadConfig
from vidgap_vis.config.network import LossConfig, ModelConfig, TemporalConfig
from vidgap_vis.config.tracking import ContrastConfig, TestConfig, TrackerConfig
from vidgap_vis.config.training import TrainConfig
from vidgap_vis.errors import ConfigError

__all__ = [
    "ContrastConfig",
    "FinetuneConfig",
    "HeadConfig",
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
    "TestConfig",
    "TrackerConfig",
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
        contrast: a loss on the embeddings; null: none, as in the paper.
        train: the optimisation.
        frames_apart: a step takes each frame as a clip of its own: the temporal module, if there is
            one, sees no other. A control: the same frames, but stills.
    """

    data: ImageDataConfig
    clip: PseudoClipConfig = field(default_factory=PseudoClipConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    temporal: TemporalConfig | None = field(default_factory=TemporalConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    contrast: ContrastConfig | None = None
    train: TrainConfig = field(default_factory=TrainConfig)
    frames_apart: bool = False

    def __post_init__(self) -> None:
        _check_contrast(self)
        if self.frames_apart and self.contrast is not None:
            message = "wanted off beside a section contrast, which compares frames"
            raise ConfigError("", "frames_apart", message)


@dataclass(frozen=True)
class FinetuneConfig:
    """Fine-tuning on clips of videos, or on pseudo-clips alone.

    Attributes:
        data: the videos, and still images beside them.
        clip: how clips are cut from them.
        model: the segmenter.
        temporal: the temporal module; null: none, the baseline.
        loss: matching and losses.
        contrast: a loss on the embeddings; null: none.
        head: what learns to follow the segmenter's queries; null: nothing.
        train: the optimisation.
        tracker: what the weights are to be used with; null: what fits them.
        test: how they are to be used.
    """

    data: VideoDataConfig
    clip: VideoClipConfig = field(default_factory=VideoClipConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    temporal: TemporalConfig | None = field(default_factory=TemporalConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    contrast: ContrastConfig | None = None
    head: HeadConfig | None = None
    train: TrainConfig = field(
        default_factory=lambda: TrainConfig(steps=16_000, milestones=(6_000, 12_000))
    )
    tracker: TrackerConfig | None = None
    test: TestConfig = field(default_factory=TestConfig)

    def __post_init__(self) -> None:
        _check_contrast(self)
        if self.head is not None:
            self._check_head(self.head)

    def _check_head(self, head: HeadConfig) -> None:
        if self.contrast is not None:
            message = "wanted null beside a section contrast, they are two trainings"
            raise ConfigError("", "head", message)
        head.check_model(self.model)
        head.check_clip(self.clip.num_frames)
        name, served = self.tracker and self.tracker.name, SERVES[head.name]
        if name not in (None, *served):
            message = f"wanted {' or '.join(served)}, or null, with head.name {head.name}, got "
            raise ConfigError("", "tracker.name", message + repr(name))


RunConfig = PretrainConfig | FinetuneConfig
"""The configuration of any training run."""


def _check_contrast(config: RunConfig) -> None:
    """Raise `ConfigError` where the section `contrast` does not fit the others."""
    if config.contrast is None:
        return
    if config.clip.num_frames < 2:
        message = "wanted 2 or more where there is a section contrast, got 1"
        raise ConfigError("", "clip.num_frames", message)
    if config.contrast.method == "idol" and config.model.embedding_dim is None:
        message = "wanted a number where contrast.method is idol, got None"
        raise ConfigError("", "model.embedding_dim", message)
