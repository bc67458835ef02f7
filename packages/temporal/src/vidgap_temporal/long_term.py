"""The long-term stage: ConvGRU layers that carry a state over the video (paper §3.2, eq. 3)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vidgap_temporal.ops import GRUWeights, conv_gru


class ConvGRU(nn.Module):
    """One layer: the op `conv_gru` with its weights, 18 C^2 for each of three gates and 3C."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.input_weight = nn.Parameter(torch.empty(3 * channels, channels, 3, 3))
        self.hidden_weight = nn.Parameter(torch.empty(3 * channels, channels, 3, 3))
        self.bias = nn.Parameter(torch.empty(3 * channels))
        # As one convolution over the concatenated frame and state would start in torch.
        bound = 1 / math.sqrt(2 * channels * 9)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def forward(self, frames: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Run over frames (B, T, C, H, W) from `state`, (B, C, H, W) or None for zeros.

        Returns:
            The state after each frame, (B, T, C, H, W), and the last of them.
        """
        return conv_gru(frames, state, GRUWeights(self.input_weight, self.hidden_weight, self.bias))

    def silence(self) -> None:
        """Make the layer return zeros as long as its state is zero.

        Only the candidate's input weights and bias are zeroed: since its hidden weights stay,
        gradients reach all gates as soon as the state has moved.
        """
        candidate = slice(2 * self.bias.shape[0] // 3, None)
        with torch.no_grad():
            self.input_weight[candidate] = 0
            self.bias[candidate] = 0


class LongTermStage(nn.Module):
    """N ConvGRU layers, each over the states of the one before."""

    def __init__(self, channels: int, num_layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(ConvGRU(channels) for _ in range(num_layers))

    def forward(
        self, features: Tensor, states: Sequence[Tensor] | None, state_after: int | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """Run the layers over a clip.

        Args:
            features: (B, T, H, W, C).
            states: of each layer before the first frame, (B, C, H, W), or None for zeros.
            state_after: frames, from the first, after which states are returned; None: all T.

        Returns:
            (B, T, H, W, C), and the states after these frames.
        """
        frames = features.permute(0, 1, 4, 2, 3)  # (B, T, C, H, W), as convolutions name them
        after: list[Tensor] = []
        for index, layer in enumerate(self.layers):
            frames, state = layer(frames, None if states is None else states[index])
            after.append(state if state_after is None else frames[:, state_after - 1])
        return frames.permute(0, 1, 3, 4, 2), after

    def silence(self) -> None:
        """Make the stage return zeros as long as its states are zero.

        Only the last layer is silenced. Were an earlier one silent too, it would give the last
        one zeros to learn from and get no gradient from it: neither would ever learn.
        """
        last = self.layers[-1]
        assert isinstance(last, ConvGRU)
        last.silence()
