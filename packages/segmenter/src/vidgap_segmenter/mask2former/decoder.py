"""Mask2Former's masked-attention decoder (§3.2; `mask2former_transformer_decoder.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidgap_segmenter.attention import Attention
from vidgap_segmenter.checkpointing import Checkpointed
from vidgap_segmenter.mlp import mlp
from vidgap_segmenter.position import sine_position_embedding
from vidgap_segmenter.structures import FramePrediction


@dataclass(frozen=True)
class MaskedDecoderOutput:
    """Predictions of B*T frames, first level to last, and the queries' embeddings (B*T, Q, C)."""

    levels: list[FramePrediction]
    embeddings: Tensor


class MaskedDecoder(nn.Module):
    """Refine learned queries by attending, each within its own mask, to one scale after another.

    Args:
        num_classes: K, without "no instance".
        channels: C of features, mask features and queries.
        num_queries: Q.
        num_layers: decoder layers; layer i reads scale i mod L, coarse to fine.
        ffn_channels: hidden channels of the feed-forward parts.
        num_heads: attention heads.
        num_scales: L, the number of maps that `forward` is given.
        embedding_dim: width of a separate embedding head (CTVIS §3); None: embeddings are the
            normalised queries (MinVIS).
    """

    def __init__(
        self,
        num_classes: int,
        *,
        channels: int,
        num_queries: int,
        num_layers: int,
        ffn_channels: int,
        num_heads: int,
        num_scales: int,
        embedding_dim: int | None,
    ) -> None:
        super().__init__()
        self.query_feat = nn.Embedding(num_queries, channels)
        self.query_embed = nn.Embedding(num_queries, channels)
        self.level_embed = nn.Embedding(num_scales, channels)
        self.layers = nn.ModuleList(
            MaskedDecoderLayer(channels, ffn_channels, num_heads) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(channels)
        self.class_embed = nn.Linear(channels, num_classes + 1)
        self.mask_embed = mlp(channels, channels, channels)
        self.embedding_head = (
            mlp(channels, channels, embedding_dim) if embedding_dim else nn.Identity()
        )

    def forward(
        self, features: Sequence[Tensor], mask_features: Tensor, *, every_level: bool
    ) -> MaskedDecoderOutput:
        """Decode frames.

        Args:
            features: (B*T, C, H_l, W_l), coarse to fine.
            mask_features: (B*T, C, h, w), stride 4.
            every_level: also predict from the queries before each layer, as training needs.

        Returns:
            `num_layers + 1` levels, or the last alone.
        """
        scales = self._scales(features, mask_features)
        queries = self.query_feat.weight.expand(len(mask_features), -1, -1)  # (B*T, Q, C)
        query_pos = self.query_embed.weight
        levels = []
        for index, layer in enumerate(self.layers):
            scale = scales[index % len(scales)]
            normed = self.norm(queries)
            mask_embed = self.mask_embed(normed)
            if every_level:
                levels.append(self._predict(normed, mask_embed, mask_features))
            attention_mask = predict_attention_mask(mask_embed.detach(), scale.mask_features)
            queries = layer(queries, query_pos, scale.tokens, scale.keys, attention_mask)
        normed = self.norm(queries)
        levels.append(self._predict(normed, self.mask_embed(normed), mask_features))
        return MaskedDecoderOutput(levels, self.embedding_head(normed))

    def _predict(
        self, normed: Tensor, mask_embed: Tensor, mask_features: Tensor
    ) -> FramePrediction:
        logits = mask_embed @ mask_features.flatten(2)  # (B*T, Q, C) @ (B*T, C, h*w)
        return FramePrediction(
            self.class_embed(normed), logits.unflatten(2, mask_features.shape[-2:]), normed
        )

    def _scales(self, features: Sequence[Tensor], mask_features: Tensor) -> list[Scale]:
        """Prepare what the layers read of each scale, once for all of them.

        Resizing mask logits is resizing mask features first: both are linear. So the logits that
        only steer attention are never made at stride 4.
        """
        scales = []
        for feature, level in zip(features, self.level_embed.weight, strict=True):
            size = (feature.shape[-2], feature.shape[-1])
            tokens = feature.flatten(2).transpose(1, 2) + level
            position = sine_position_embedding(
                size, tokens.shape[-1], device=tokens.device, dtype=tokens.dtype
            )
            with torch.no_grad():
                resized = F.interpolate(
                    mask_features, size=size, mode="bilinear", align_corners=False
                )
            scales.append(Scale(tokens, tokens + position, resized.flatten(2)))
        return scales


@dataclass(frozen=True)
class Scale:
    """One scale as layers read it: tokens and keys (B*T, S, C), mask features (B*T, C, S)."""

    tokens: Tensor
    keys: Tensor
    mask_features: Tensor


class MaskedDecoderLayer(Checkpointed):
    """Masked cross-attention, self-attention and a feed-forward part, post-norm."""

    def __init__(self, channels: int, ffn_channels: int, num_heads: int) -> None:
        super().__init__()
        self.cross_attn = Attention(channels, num_heads)
        self.cross_norm = nn.LayerNorm(channels)
        self.self_attn = Attention(channels, num_heads)
        self.self_norm = nn.LayerNorm(channels)
        self.linear1 = nn.Linear(channels, ffn_channels)
        self.linear2 = nn.Linear(ffn_channels, channels)
        self.ffn_norm = nn.LayerNorm(channels)
        for linear in (self.linear1, self.linear2):
            nn.init.xavier_uniform_(linear.weight)

    def forward(
        self,
        queries: Tensor,
        query_pos: Tensor,
        tokens: Tensor,
        keys: Tensor,
        attention_mask: Tensor,
    ) -> Tensor:
        """Return refined queries (B*T, Q, C).

        Args:
            queries: content of the queries, (B*T, Q, C).
            query_pos: their learned position embeddings, (Q, C).
            tokens: one scale's features, (B*T, S, C).
            keys: the same with their position embeddings, (B*T, S, C).
            attention_mask: (B*T, Q, S) bool, True where a query attends.
        """
        attended = self.cross_attn(queries + query_pos, keys, tokens, attention_mask)
        queries = self.cross_norm(queries + attended)
        positioned = queries + query_pos
        queries = self.self_norm(queries + self.self_attn(positioned, positioned, queries))
        return self.ffn_norm(queries + self.linear2(F.relu(self.linear1(queries), inplace=True)))


def predict_attention_mask(mask_embed: Tensor, mask_features: Tensor) -> Tensor:
    """Return where each query attends: in its own mask, or everywhere if that is empty.

    Args:
        mask_embed: (B*T, Q, C).
        mask_features: (B*T, C, S).

    Returns:
        (B*T, Q, S) bool.
    """
    inside = mask_embed @ mask_features >= 0
    return inside | ~inside.any(-1, keepdim=True)
