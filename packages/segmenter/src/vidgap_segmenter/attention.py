"""Multi-head attention with the parameters of `nn.MultiheadAttention`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Scaled dot-product attention in `num_heads` heads of C / num_heads channels.

    Parameters are named and shaped as those of `nn.MultiheadAttention`, so that weights of
    networks built on it fit.
    """

    def __init__(self, channels: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * channels, channels))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * channels))
        self.out_proj = nn.Linear(channels, channels)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.xavier_uniform_(self.out_proj.weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None = None
    ) -> Tensor:
        """Attend from each query to the keys, (B, Q, C).

        Args:
            query: (B, Q, C).
            key: (B, S, C).
            value: (B, S, C).
            attention_mask: (B, Q, S) bool, True where a query attends; None: everywhere.
        """
        projected = zip(
            (query, key, value),
            self.in_proj_weight.chunk(3),
            self.in_proj_bias.chunk(3),
            strict=True,
        )
        q, k, v = (
            self._heads(F.linear(tokens, weight, bias)) for tokens, weight, bias in projected
        )
        mask = None if attention_mask is None else attention_mask[:, None]
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)  # (B, M, Q, C/M)
        return self.out_proj(attended.transpose(1, 2).flatten(2))

    def _heads(self, tokens: Tensor) -> Tensor:
        """Split the channels into heads, (B, S, C) -> (B, M, S, C/M)."""
        return tokens.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
