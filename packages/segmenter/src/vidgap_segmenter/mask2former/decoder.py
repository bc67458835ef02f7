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
from vidgap_segmenter.position import sine_position


@dataclass(frozen=True)
class FramePrediction:
    """A level's answer, a row for each frame.

    Attributes:
        class_logits: (B*T, Q, K+1).
        mask_logits: (B*T, Q, h, w).
        queries: the normed queries that it was made from, (B*T, Q, C).
    """

    class_logits: Tensor
    mask_logits: Tensor
    queries: Tensor


@dataclass(frozen=True)
class FrameOutput:
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
        channels: int = 256,
        num_queries: int = 100,
        num_layers: int = 9,
        ffn_channels: int = 2048,
        num_heads: int = 8,
        num_scales: int = 3,
        embedding_dim: int | None = None,
    ) -> None:
        super().__init__()
        self.query_feat = nn.Embedding(num_queries, channels)
        self.query_embed = nn.Embedding(num_queries, channels)
        self.level_embed = nn.Embedding(num_scales, channels)
        self.layers = nn.ModuleList(
            DecoderLayer(channels, ffn_channels, num_heads) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(channels)
        self.class_embed = nn.Linear(channels, num_classes + 1)
        self.mask_embed = mlp(channels, channels, channels)
        self.embedding_head = (
            mlp(channels, channels, embedding_dim) if embedding_dim else nn.Identity()
        )

    def forward(
        self, features: Sequence[Tensor], mask_features: Tensor, *, every_level: bool
    ) -> FrameOutput:
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
        place = self.query_embed.weight
        levels = []
        for index, layer in enumerate(self.layers):
            scale = scales[index % len(scales)]
            normed = self.norm(queries)
            mask_embed = self.mask_embed(normed)
            if every_level:
                levels.append(self._predict(normed, mask_embed, mask_features))
            allowed = allowed_places(mask_embed.detach(), scale.mask_features)
            queries = layer(queries, place, scale.tokens, scale.keys, allowed)
        normed = self.norm(queries)
        levels.append(self._predict(normed, self.mask_embed(normed), mask_features))
        return FrameOutput(levels, self.embedding_head(normed))

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
            position = sine_position(
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


class DecoderLayer(Checkpointed):
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
        self, queries: Tensor, place: Tensor, tokens: Tensor, keys: Tensor, allowed: Tensor
    ) -> Tensor:
        """Return refined queries (B*T, Q, C).

        Args:
            queries: content of the queries, (B*T, Q, C).
            place: their learned position, (Q, C).
            tokens: one scale's features, (B*T, S, C).
            keys: the same with its position, (B*T, S, C).
            allowed: where each query may look, (B*T, Q, S) bool.
        """
        queries = self.cross_norm(queries + self.cross_attn(queries + place, keys, tokens, allowed))
        placed = queries + place
        queries = self.self_norm(queries + self.self_attn(placed, placed, queries))
        return self.ffn_norm(queries + self.linear2(F.relu(self.linear1(queries), inplace=True)))


def allowed_places(mask_embed: Tensor, mask_features: Tensor) -> Tensor:
    """Return where each query may look: in its own mask, or anywhere if that is empty.

    Args:
        mask_embed: (B*T, Q, C).
        mask_features: (B*T, C, S).

    Returns:
        (B*T, Q, S) bool.
    """
    inside = mask_embed @ mask_features >= 0
    return inside | ~inside.any(-1, keepdim=True)
