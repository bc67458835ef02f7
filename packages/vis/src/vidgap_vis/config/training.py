"""Section `train`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from vidgap_vis.config.section import FROM_0, FROM_1, Count, Positive, Section, Seed

Precision: TypeAlias = Literal["fp32", "bf16", "fp16"]
RunLog: TypeAlias = Literal["tensorboard", "wandb", "mlflow", "comet_ml", "aim", "trackio"]


@dataclass(frozen=True)
class TrainConfig(Section, key="train"):
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
        log_with: what else takes those lines, as Accelerate names it; null: nothing.
    """

    steps: Count = 368_750
    batch_size: Count = 16
    lr: Positive = 1e-4
    weight_decay: Annotated[float, FROM_0] = 0.05
    backbone_multiplier: Annotated[float, FROM_0] = 0.1
    clip_norm: Positive = 0.01
    warmup_steps: Annotated[int, FROM_0] = 0
    schedule: Literal["step", "cosine"] = "step"
    milestones: tuple[int, ...] = (327_778, 355_092)
    seed: Seed = 0
    num_workers: Annotated[int, FROM_0] = 4
    precision: Precision = "bf16"
    device: Literal["auto", "cpu"] = "auto"
    num_threads: Annotated[int, FROM_1] | None = None
    checkpoint_every: Count = 5000
    log_every: Count = 20
    log_with: RunLog | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.schedule == "step":
            last = max(self.milestones, default=0)
            self.require("milestones", last < self.steps, f"steps below train.steps ({self.steps})")
