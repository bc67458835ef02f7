"""Gradient checkpointing: activations are recomputed in the backward pass, not kept."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


class Checkpointed(nn.Module):
    """A layer that can keep its inputs alone for the backward pass, and recompute the rest.

    The second run draws the same random numbers as the first (drop path).

    Attributes:
        gradient_checkpointing: whether it does so; not part of the state dict.
    """

    gradient_checkpointing = False

    def __call__(self, *args: Any) -> Any:
        if self.gradient_checkpointing and torch.is_grad_enabled():
            return checkpoint(super().__call__, *args, use_reentrant=False)
        return super().__call__(*args)
