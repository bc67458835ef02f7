"""One scale of the temporal module (paper §3.2): short-term stage, long-term stage, equation 3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from vidgap_temporal.long_term import LongTermStage
from vidgap_temporal.short_term import ShortTermStage

Residual: TypeAlias = Literal["literal", "gated_residual", "full"]


class TemporalBlock(nn.Module):
    """Equation 3, f^N = ConvGRU(f^u) + f, in one of its readings.

    The ConvGRU gates the last C_gru channels of f^u = (passed, gated) and leaves the others:

    * 'literal' is (passed, GRU(gated)) + f, where the passed half meets f twice;
    * 'gated_residual' is (passed, GRU(gated) + f_gated);
    * 'full' is the same with nothing passed (C_gru = C), which is the equation to the letter.

    Without GRU layers all of them are f^u.
    """

    def __init__(
        self,
        short_term: ShortTermStage,
        long_term: LongTermStage,
        gru_channels: int,
        residual: Residual,
    ) -> None:
        super().__init__()
        self.short_term = short_term
        self.long_term = long_term
        self.gru_channels = gru_channels
        self.residual = residual

    def forward(
        self,
        features: Tensor,
        states: Sequence[Tensor] | None = None,
        state_after: int | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Mix the frames of one scale.

        Args:
            features: f, (B, T, C, H, W).
            states: of the N GRU layers before the first frame, (B, C_gru, H, W) each, or None.
            state_after: frames, from the first, after which states are returned; None: all T.

        Returns:
            f^N, of the shape, dtype and memory format of `features`, and the states after these
            frames.
        """
        maps = features.permute(0, 1, 3, 4, 2).contiguous()  # (B, T, H, W, C)
        mixed = self.short_term(maps)  # f^u
        after: list[Tensor] = []
        if len(self.long_term.layers):
            passed, gated = mixed.tensor_split([mixed.shape[-1] - self.gru_channels], dim=-1)
            gated, after = self.long_term(gated, states, state_after)
            if self.residual == "literal":
                mixed = torch.cat([passed, gated], dim=-1) + maps
            else:
                mixed = torch.cat([passed, gated + maps[..., -self.gru_channels :]], dim=-1)
        return strided_like(mixed.permute(0, 1, 4, 2, 3), features), after

    def silence(self) -> None:
        """Zero just enough weights to make the block return its input.

        Gradients must still reach the rest: see `ShortTermLayer.silence` and
        `LongTermStage.silence`. With 'full' the GRU covers every channel, so f^u may be anything.
        """
        if self.residual == "gated_residual" or not len(self.long_term.layers):
            self.short_term.silence()
        if len(self.long_term.layers):
            self.long_term.silence()


def strided_like(x: Tensor, like: Tensor) -> Tensor:
    """Return `x` in the dtype and strides of `like`, its order without gaps where it has some."""
    alike = x.stride() == like.stride() and x.dtype == like.dtype
    return x if alike else torch.empty_like(like).copy_(x)
