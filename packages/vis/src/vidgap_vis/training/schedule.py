"""Learning rates: a factor that depends on the step alone, so a resumed run needs no state."""

from __future__ import annotations

import math

from torch.optim import Optimizer

from vidgap_vis.config import TrainConfig


def learning_rate_factor(step: int, settings: TrainConfig) -> float:
    """Return what the base learning rate is multiplied by in step 0, 1, ...

    Linear warm-up to 1 over `warmup_steps`; then `step` divides by 10 at each milestone, and
    `cosine` falls along half a cosine to 0 at `steps`.
    """
    if step < settings.warmup_steps:
        return (step + 1) / settings.warmup_steps
    if settings.schedule == "step":
        return 0.1 ** sum(step >= milestone for milestone in settings.milestones)
    span = max(1, settings.steps - settings.warmup_steps)
    progress = (step - settings.warmup_steps) / span
    return 0.5 * (1 + math.cos(math.pi * progress))


def set_learning_rates(optimizer: Optimizer, factor: float) -> None:
    """Set each group's rate to `factor` times its own `initial_lr`."""
    for group in optimizer.param_groups:
        group["lr"] = factor * group["initial_lr"]
