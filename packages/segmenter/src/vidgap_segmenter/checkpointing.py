"""Gradient checkpointing: activations computed anew in the backward pass instead of kept."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


class Checkpointed(nn.Module):
    """A layer that keeps its inputs alone for the backward pass, if it is told to.

    The second run draws the same random numbers as the first (drop path).

    Attributes:
        gradient_checkpointing: whether it does; no property of its weights, and not saved.
    """

    gradient_checkpointing = False

    def __call__(self, *args: Any) -> Any:
        """Run the layer."""
        if self.gradient_checkpointing and torch.is_grad_enabled():
            return checkpoint(super().__call__, *args, use_reentrant=False)
        return super().__call__(*args)
