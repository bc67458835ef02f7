"""AdamW with the groups of a training unit."""

from __future__ import annotations

import torch

from vidgap_vis.config import TrainConfig
from vidgap_vis.training.units import TrainingUnit


def make_optimizer(unit: TrainingUnit, train: TrainConfig) -> torch.optim.AdamW:
    """Build AdamW; each group keeps its base learning rate as `initial_lr`."""
    groups = unit.parameter_groups(train)
    return torch.optim.AdamW(
        [{**group, "initial_lr": group["lr"]} for group in groups], lr=train.lr, fused=True
    )
