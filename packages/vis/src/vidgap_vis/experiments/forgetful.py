"""A network whose temporal module sees each step alone: what its memory is worth."""

from __future__ import annotations

import torch
from torch import Tensor

from vidgap_segmenter import ClipOutput
from vidgap_segmenter.temporal import TemporalState
from vidgap_vis.inference.step import StepModel


class Forgetful:
    """Runs each step of a network without the state of the one before.

    Args:
        model: the network.
    """

    def __init__(self, model: StepModel) -> None:
        self.model = model

    def to(self, device: torch.device) -> Forgetful:
        """Move to a device."""
        self.model.to(device)
        return self

    def eval(self) -> Forgetful:
        """Set the mode for inference."""
        self.model.eval()
        return self

    def step(
        self,
        frames: Tensor,
        state: TemporalState | None,  # noqa: ARG002 - that is what is forgotten
        *,
        with_head_inputs: bool = False,
        repeated_next: int = 0,
    ) -> tuple[ClipOutput, TemporalState | None]:
        """Segment the next frames; as the network's own, but without a state."""
        output, _ = self.model.step(
            frames, None, with_head_inputs=with_head_inputs, repeated_next=repeated_next
        )
        return output, None
