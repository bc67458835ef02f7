"""The layers that DVIS's, VITA's and GenVIS's heads are made of: post-norm, ReLU, no dropout."""

from __future__ import annotations

from torch import Tensor, nn


class AttentionLayer(nn.Module):
    """Multi-head attention, added to `identity`, then normed.

    Args:
        channels: C.
        num_heads: of C / num_heads channels each.
    """

    def __init__(self, channels: int, num_heads: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(channels, num_heads, batch_first=True)
        self.norm = nn.LayerNorm(channels)

    def forward(
        self,
        identity: Tensor,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        blocked: Tensor | None = None,
    ) -> Tensor:
        """Attend.

        Args:
            identity: (B, N, C), what the attention is added to.
            query: (B, N, C).
            key: (B, S, C).
            value: (B, S, C).
            blocked: (B, S) or (B * num_heads, N, S) bool, True where a key is not seen.

        Returns:
            (B, N, C).
        """
        padding = blocked if blocked is not None and blocked.ndim == 2 else None
        mask = blocked if padding is None else None
        found, _ = self.attention(
            query, key, value, key_padding_mask=padding, attn_mask=mask, need_weights=False
        )
        return self.norm(identity + found)


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

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x + self.outer(self.inner(x).relu()))
