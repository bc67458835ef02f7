"""The layers that DVIS's, VITA's and GenVIS's heads are made of: post-norm, ReLU, no dropout.

Matrices start as Mask2Former's do, whose layers the releases use: Xavier, uniform.
"""

from __future__ import annotations

from torch import Tensor, nn

from vidgap_segmenter.attention import Attention


class AttentionLayer(nn.Module):
    """Multi-head attention, added to `identity`, then normed.

    Memory is linear in the tokens, also on the CPU, where `nn.MultiheadAttention` in eval mode is
    quadratic.

    Args:
        channels: C.
        num_heads: of C / num_heads channels each.
    """

    def __init__(self, channels: int, num_heads: int) -> None:
        super().__init__()
        self.attention = Attention(channels, num_heads)
        self.norm = nn.LayerNorm(channels)

    def forward(self, identity: Tensor, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend.

        Args:
            identity: (B, N, C), what the attention is added to.
            query: (B, N, C).
            key: (B, S, C).
            value: (B, S, C).

        Returns:
            (B, N, C).
        """
        return self.norm(identity + self.attention(query, key, value))


class FFNLayer(nn.Module):
    """Two linear layers with ReLU between them, added to their input, then normed: (..., C).

    Args:
        channels: C.
        hidden_channels: between the two.
    """

    def __init__(self, channels: int, hidden_channels: int) -> None:
        super().__init__()
        self.inner = nn.Linear(channels, hidden_channels)
        self.outer = nn.Linear(hidden_channels, channels)
        self.norm = nn.LayerNorm(channels)
        for layer in (self.inner, self.outer):
            nn.init.xavier_uniform_(layer.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x + self.outer(self.inner(x).relu()))
