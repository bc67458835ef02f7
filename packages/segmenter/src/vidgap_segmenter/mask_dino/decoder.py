"""Mask DINO's decoder (Li et al. 2023, §3; `transformer_decoder/maskdino_decoder.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidgap_segmenter.attention import Attention
from vidgap_segmenter.boxes import (
    cell_boxes,
    inverse_sigmoid,
    mask_boxes,
    sine_embedding,
)
from vidgap_segmenter.checkpointing import Checkpointed
from vidgap_segmenter.deformable_attention import DeformableAttention
from vidgap_segmenter.mask_dino.denoising import Denoising
from vidgap_segmenter.mlp import embedding_head, mlp
from vidgap_segmenter.structures import FramePrediction

Anchors = Literal["mask2box", "bitmask", "selected"]
"""Where the first boxes come from: the first masks (up to the index of their last pixel, or to its
far side), or the boxes of the selected tokens."""

CELL_MARGIN = 0.01
"""Cells with a box coordinate this near to 0 or 1 are not proposed."""


@dataclass(frozen=True)
class MaskDINODecoderOutput:
    """Predictions of B*T frames.

    Attributes:
        levels: first to last: the queries as selected, then after each layer; the last alone where
            not every level is wanted. Denoising queries stand before the others.
        proposals: what the selected tokens themselves predict.
        embeddings: of the matching queries, (B*T, Q, C).
    """

    levels: list[FramePrediction]
    proposals: FramePrediction
    embeddings: Tensor


class MaskDINODecoder(nn.Module):
    """Select tokens as queries, then refine them and their boxes.

    Args:
        num_classes: K.
        channels: C of features, mask features and queries.
        num_queries: Q; maps with fewer tokens have a query for each.
        num_layers: decoder layers.
        ffn_channels: hidden channels of their feed-forward parts.
        num_heads: attention heads.
        num_levels: L, the number of maps that `forward` is given.
        num_points: points that a head samples on each of them.
        anchors: where the first boxes come from.
        embedding_dim: width of a separate embedding head; None: embeddings are the normalised
            queries.
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
        num_levels: int,
        num_points: int,
        anchors: Anchors,
        embedding_dim: int | None,
    ) -> None:
        super().__init__()
        if anchors not in get_args(Anchors):
            raise ValueError(f"anchors must be one of {list(get_args(Anchors))}, got {anchors!r}")
        self.num_queries = num_queries
        self.anchors = anchors
        self.proposal_proj = nn.Linear(channels, channels)
        self.proposal_norm = nn.LayerNorm(channels)
        self.class_embed = nn.Linear(channels, num_classes)
        self.label_embed = nn.Embedding(num_classes, channels)
        self.mask_embed = mlp(channels, channels, channels)
        self.box_embed = mlp(channels, channels, 4)
        self.place_embed = mlp(2 * channels, channels, channels, num_layers=2)  # of positions
        self.layers = nn.ModuleList(
            DeformableDecoderLayer(channels, ffn_channels, num_heads, num_levels, num_points)
            for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(channels)
        self.embedding_head = embedding_head(channels, embedding_dim)
        for layer in self.place_embed:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
        last = self.box_embed[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(
        self,
        features: Sequence[Tensor],
        mask_features: Tensor,
        denoising: Denoising | None,
        *,
        every_level: bool,
    ) -> MaskDINODecoderOutput:
        """Decode frames.

        Args:
            features: (B*T, C, H_l, W_l), in the order of the weights' levels: coarse to fine where
                the encoder has its finest level first, and the other way round.
            mask_features: (B*T, C, h, w), stride 4.
            denoising: noised instances to be reconstructed, or None.
            every_level: also predict from the queries before each layer, as training needs.
        """
        sizes = [(map_.shape[-2], map_.shape[-1]) for map_ in features]
        tokens = torch.cat([map_.flatten(2).transpose(1, 2) for map_ in features], dim=1)
        content, box_logits = self._select(tokens, sizes)
        num_queries = content.shape[1]
        normed = self.norm(content)
        proposals = self._predict(normed, normed, mask_features, box_logits.sigmoid())
        content, boxes = content.detach(), self._anchors(proposals)
        attention_mask = None
        if denoising is not None:
            noised = self.label_embed(denoising.labels) * denoising.real[..., None]
            content = torch.cat((noised.to(content.dtype), content), dim=1)
            boxes = torch.cat((_settled(denoising.boxes).to(boxes.dtype), boxes), dim=1)
            attention_mask = denoising.attention_mask(num_queries)
        elif every_level:  # every parameter takes part in every step of a distributed run
            content = content + 0 * self.label_embed.weight.sum()
        levels = []
        if every_level:
            normed = self.norm(content)
            levels.append(self._predict(normed, normed, mask_features, boxes))
        before = boxes  # with the gradient of one layer back; `boxes` themselves carry none
        for index, layer in enumerate(self.layers, start=1):
            boxes_now = boxes.to(tokens.dtype)
            query_pos = self.place_embed(sine_embedding(boxes_now, tokens.shape[-1] // 2))
            content = layer(content, query_pos, boxes_now, tokens, sizes, attention_mask)
            normed = self.norm(content)
            if every_level or index == len(self.layers):
                reported = (self.box_embed(normed) + inverse_sigmoid(before)).sigmoid()
                # The official heads normalise once more what the decoder has normalised.
                levels.append(self._predict(self.norm(normed), normed, mask_features, reported))
            if index < len(self.layers):
                before = (self.box_embed(content) + inverse_sigmoid(boxes)).sigmoid()
                boxes = before.detach()
        own = normed[:, -num_queries:]
        return MaskDINODecoderOutput(levels, proposals, self.embedding_head(own))

    def _select(self, tokens: Tensor, sizes: list[tuple[int, int]]) -> tuple[Tensor, Tensor]:
        """Return the best tokens (B*T, Q, C) and the logits of their boxes (B*T, Q, 4)."""
        cells = cell_boxes(sizes, tokens)
        inside = ((cells > CELL_MARGIN) & (cells < 1 - CELL_MARGIN)).all(-1, keepdim=True)
        cell_logits = (cells / (1 - cells)).log().masked_fill(~inside, torch.inf)
        memory = self.proposal_norm(self.proposal_proj(tokens.masked_fill(~inside, 0.0)))
        count = min(self.num_queries, tokens.shape[1])
        best = self.class_embed(memory).amax(-1).topk(count, dim=1).indices
        content = memory.gather(1, best[..., None].expand(-1, -1, memory.shape[-1]))
        return content, self.box_embed(content) + cell_logits[best]

    def _anchors(self, proposals: FramePrediction) -> Tensor:
        """Return the first boxes, (B*T, Q, 4), without gradient."""
        if self.anchors == "selected":
            assert proposals.boxes is not None
            return proposals.boxes.detach()
        masks = proposals.mask_logits.detach() > 0
        # float32 in every network, as in the official code; float64 begins after the first layer.
        return _settled(mask_boxes(masks, whole_pixels=self.anchors == "bitmask"))

    def _predict(
        self, inputs: Tensor, queries: Tensor, mask_features: Tensor, boxes: Tensor
    ) -> FramePrediction:
        """Read a level off the inputs of the heads, made from normed queries (B*T, Q, C)."""
        logits = self.mask_embed(inputs) @ mask_features.flatten(2)
        masks = logits.unflatten(2, mask_features.shape[-2:])
        return FramePrediction(self.class_embed(inputs), masks, queries, boxes)


class DeformableDecoderLayer(Checkpointed):
    """Self-attention, deformable cross-attention and a feed-forward part, post-norm."""

    def __init__(
        self, channels: int, ffn_channels: int, num_heads: int, num_levels: int, num_points: int
    ) -> None:
        super().__init__()
        self.self_attn = Attention(channels, num_heads)
        self.self_norm = nn.LayerNorm(channels)
        self.cross_attn = DeformableAttention(channels, num_heads, num_levels, num_points)
        self.cross_norm = nn.LayerNorm(channels)
        self.linear1 = nn.Linear(channels, ffn_channels)
        self.linear2 = nn.Linear(ffn_channels, channels)
        self.ffn_norm = nn.LayerNorm(channels)
        for linear in (self.linear1, self.linear2):
            nn.init.xavier_uniform_(linear.weight)

    def forward(
        self,
        queries: Tensor,
        query_pos: Tensor,
        boxes: Tensor,
        tokens: Tensor,
        sizes: list[tuple[int, int]],
        attention_mask: Tensor | None,
    ) -> Tensor:
        """Return refined queries (B*T, Q, C).

        Args:
            queries: their content, (B*T, Q, C).
            query_pos: their position embeddings, made from the boxes, (B*T, Q, C).
            boxes: around which they sample, (B*T, Q, 4).
            tokens: the maps, one after another, (B*T, S, C).
            sizes: (H_l, W_l) of each map.
            attention_mask: (1, Q, Q) bool, True where a query attends to another, or None.
        """
        positioned = queries + query_pos
        attended = self.self_attn(positioned, positioned, queries, attention_mask)
        queries = self.self_norm(queries + attended)
        reference = boxes[:, :, None].expand(-1, -1, len(sizes), -1)
        attended = self.cross_attn(queries + query_pos, reference, tokens, sizes)
        queries = self.cross_norm(queries + attended)
        return self.ffn_norm(queries + self.linear2(F.relu(self.linear1(queries), inplace=True)))


def _settled(boxes: Tensor) -> Tensor:
    """Keep boxes 1e-5 away from 0 and 1, so that their logits are finite."""
    return inverse_sigmoid(boxes).sigmoid()
