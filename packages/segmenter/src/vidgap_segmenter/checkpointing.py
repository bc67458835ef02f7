"""Gradient checkpointing: activations are computed again in the backward pass, not kept."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


class Checkpointed(nn.Module):
    """A layer that keeps only its inputs for the backward pass, if told to.

    The second run draws the same random numbers as the first (drop path).

    Attributes:
        gradient_checkpointing: whether it does; not saved with its weights.
    """

    gradient_checkpointing = False

    def __call__(self, *args: Any) -> Any:
        if self.gradient_checkpointing and torch.is_grad_enabled():
            return checkpoint(super().__call__, *args, use_reentrant=False)
        return super().__call__(*args)
