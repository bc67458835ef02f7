"""Section `train`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vidgap_vis.config.checks import require, require_positive


@dataclass(frozen=True)
class TrainConfig:
    """The optimisation.

    Attributes:
        steps: optimiser steps.
        batch_size: clips of a step, over all processes together.
        lr: learning rate of AdamW.
        weight_decay: of AdamW; norms and embeddings have none.
        backbone_multiplier: on the backbone's learning rate.
        clip_norm: largest norm of the whole gradient.
        warmup_steps: steps of linear warm-up.
        schedule: `step` divides the rate by 10 at each milestone, `cosine` lowers it to 0.
        milestones: steps, for `step`.
        seed: of the weights, the data order and the augmentation.
        num_workers: processes that read data, for each training process.
        precision: autocast dtype of the model; losses are always float32.
        device: `auto` takes a GPU where there is one.
        num_threads: of a CPU operation; null: PyTorch's choice.
        checkpoint_every: steps between checkpoints.
        log_every: steps between lines of metrics.jsonl.
    """

    steps: int = 368_750
    batch_size: int = 16
    lr: float = 1e-4
    weight_decay: float = 0.05
    backbone_multiplier: float = 0.1
    clip_norm: float = 0.01
    warmup_steps: int = 0
    schedule: Literal["step", "cosine"] = "step"
    milestones: tuple[int, ...] = (327_778, 355_092)
    seed: int = 0
    num_workers: int = 4
    precision: Literal["fp32", "bf16", "fp16"] = "bf16"
    device: Literal["auto", "cpu"] = "auto"
    num_threads: int | None = None
    checkpoint_every: int = 5000
    log_every: int = 20

    def __post_init__(self) -> None:
        require_positive(
            "train",
            steps=self.steps,
            batch_size=self.batch_size,
            lr=self.lr,
            clip_norm=self.clip_norm,
            checkpoint_every=self.checkpoint_every,
            log_every=self.log_every,
        )
        for name in ("weight_decay", "backbone_multiplier", "warmup_steps", "seed", "num_workers"):
            value = getattr(self, name)
            require(f"train.{name}", value >= 0, "0 or more", value)
        threads = self.num_threads
        require("train.num_threads", threads is None or threads > 0, "1 or more, or null", threads)
        if self.schedule == "step":
            last = max(self.milestones, default=0)
            wanted = f"steps below train.steps ({self.steps})"
            require("train.milestones", last < self.steps, wanted, self.milestones)
