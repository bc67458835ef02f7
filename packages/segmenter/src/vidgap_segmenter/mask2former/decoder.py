"""Mask2Former's masked-attention decoder (§3.2; `mask2former_transformer_decoder.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidgap_segmenter.attention import Attention
from vidgap_segmenter.checkpointing import Checkpointed
from vidgap_segmenter.mlp import embedding_head, mlp
from vidgap_segmenter.position import clip_position_embedding, sine_position_embedding
from vidgap_segmenter.structures import FramePrediction, describe, stack_frames


@dataclass(frozen=True)
class MaskedDecoderOutput:
    """Predictions of R rows, first level to last, and the queries' embeddings (R, Q, C)."""

    levels: list[FramePrediction]
    embeddings: Tensor


class MaskedDecoder(nn.Module):
    """Refine learned queries by attending, each within its own mask, to one scale after another.

    Each frame has queries of its own, and R is B*T. Where `forward` is given `num_frames`, the T
    frames of a clip share theirs (Mask2Former-VIS, Cheng et al. 2021, §2), and R is B: a query
    attends to the cells of all frames at once, and has a mask in each. The weights are the same.

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
        self.embedding_head = embedding_head(channels, embedding_dim)

    def forward(
        self,
        features: Sequence[Tensor],
        mask_features: Tensor,
        *,
        every_level: bool,
        num_frames: int | None = None,
    ) -> MaskedDecoderOutput:
        """Decode frames, or clips whose frames share their queries.

        Args:
            features: (B*T, C, H_l, W_l), coarse to fine.
            mask_features: (B*T, C, h, w), stride 4.
            every_level: also predict from the queries before each layer, as training needs.
            num_frames: T of the clips whose frames share their queries; None: no frames do.

        Returns:
            `num_layers + 1` levels, or the last alone.

        Raises:
            ValueError: maps differ in their number of frames or have other channels, or clips of
                `num_frames` do not make them up.
        """
        self._check(features, mask_features, num_frames)
        scales = self._scales(features, mask_features, num_frames)
        if num_frames is not None:
            mask_features = stack_frames(mask_features, num_frames)  # (B, C, T*h, w)
        queries = self.query_feat.weight.expand(len(mask_features), -1, -1)  # (R, Q, C)
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

    def learned_masks(self, mask_features: Tensor) -> Tensor:
        """Return masks of the queries as they are learned, which no layer has changed yet.

        Args:
            mask_features: (R, C, h, w).

        Returns:
            (R, Q, h, w), the mask logits of the first level.
        """
        normed = self.norm(self.query_feat.weight)
        mask_embed = self.mask_embed(normed).expand(len(mask_features), -1, -1)
        return self._predict(normed, mask_embed, mask_features).mask_logits

    def _predict(
        self, normed: Tensor, mask_embed: Tensor, mask_features: Tensor
    ) -> FramePrediction:
        logits = mask_embed @ mask_features.flatten(2)  # (R, Q, C) @ (R, C, h*w)
        return FramePrediction(
            self.class_embed(normed), logits.unflatten(2, mask_features.shape[-2:]), normed
        )

    def _check(
        self, features: Sequence[Tensor], mask_features: Tensor, num_frames: int | None
    ) -> None:
        channels, count = self.query_feat.embedding_dim, len(mask_features)
        for name, map_ in [
            *((f"features[{index}]", map_) for index, map_ in enumerate(features)),
            ("mask_features", mask_features),
        ]:
            if map_.ndim != 4 or map_.shape[:2] != (count, channels):
                raise ValueError(
                    f"{name} must be ({count}, {channels}, H, W), got {describe(map_)}"
                )
        if num_frames is not None and (num_frames < 1 or not count or count % num_frames):
            raise ValueError(
                f"num_frames must be at least 1 and divide the number of frames, {count}, which "
                f"must not be 0, got {num_frames}"
            )

    def _scales(
        self, features: Sequence[Tensor], mask_features: Tensor, num_frames: int | None
    ) -> list[Scale]:
        """Prepare what the layers read of each scale, once for all of them.

        Resizing mask logits is resizing mask features first: both are linear. So the logits that
        only steer attention are never made at stride 4.
        """
        scales = []
        for feature, level in zip(features, self.level_embed.weight, strict=True):
            size = (feature.shape[-2], feature.shape[-1])
            with torch.no_grad():
                resized = F.interpolate(
                    mask_features, size=size, mode="bilinear", align_corners=False
                )
            if num_frames is not None:
                feature, resized = (stack_frames(map_, num_frames) for map_ in (feature, resized))
            tokens = feature.flatten(2).transpose(1, 2) + level
            position = _position(size, num_frames, tokens)
            scales.append(Scale(tokens, tokens + position, resized.flatten(2)))
        return scales


def _position(size: tuple[int, int], num_frames: int | None, tokens: Tensor) -> Tensor:
    """Return the position embedding of a scale's tokens (R, S, C), (S, C)."""
    channels, device, dtype = tokens.shape[-1], tokens.device, tokens.dtype
    if num_frames is None:
        return sine_position_embedding(size, channels, device=device, dtype=dtype)
    return clip_position_embedding(num_frames, size, channels, device=device, dtype=dtype)


@dataclass(frozen=True)
class Scale:
    """One scale as layers read it: tokens and keys (R, S, C), mask features (R, C, S)."""

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
        """Return refined queries (R, Q, C).

        Args:
            queries: content of the queries, (R, Q, C).
            query_pos: their learned position embeddings, (Q, C).
            tokens: one scale's features, (R, S, C).
            keys: the same with their position embeddings, (R, S, C).
            attention_mask: (R, Q, S) bool, True where a query attends.
        """
        attended = self.cross_attn(queries + query_pos, keys, tokens, attention_mask)
        queries = self.cross_norm(queries + attended)
        positioned = queries + query_pos
        queries = self.self_norm(queries + self.self_attn(positioned, positioned, queries))
        return self.ffn_norm(queries + self.linear2(F.relu(self.linear1(queries), inplace=True)))


def predict_attention_mask(mask_embed: Tensor, mask_features: Tensor) -> Tensor:
    """Return where each query attends: in its own mask, or everywhere if that is empty.

    Args:
        mask_embed: (R, Q, C).
        mask_features: (R, C, S).

    Returns:
        (R, Q, S) bool.
    """
    inside = mask_embed @ mask_features >= 0
    return inside | ~inside.any(-1, keepdim=True)
